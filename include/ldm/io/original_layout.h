#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/renamed_tensors.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

// The original layout of latent diffusion models (CompVis/latent-diffusion, CompVis and
// Stability-AI/stablediffusion): one file, modules numbered in the order in which they run.

/// How the tensors below one block are named in both layouts. "" names the block itself, and in a
/// table's last row stands for "everything else keeps its name".
struct LeafRule {
  std::string_view original;
  std::string_view diffusers;
  int part = 0;      ///< which of the original tensor's equal row blocks this one is
  int parts = 1;     ///< how many of them the original joins (qkv: 3)
  int trailing = 0;  ///< dimensions of size 1 that the original weight has in addition
};

/// A run of modules under one prefix in both layouts.
struct LayoutBlock {
  std::string original;
  std::string diffusers;
  std::span<const LeafRule> leaves;
  std::int64_t heads = 1;  ///< joined tensors interleave their parts by head
};
using LayoutBlocks = std::vector<LayoutBlock>;

/// What must be known of a UNet to number its blocks.
struct UNetOutline {
  std::size_t levels = 0;
  std::size_t layers = 0;             ///< resnets a level going down; one more going up
  std::vector<bool> attention;        ///< by level, the widest picture first
  bool transformer = true;            ///< SpatialTransformer, else AttentionBlock
  bool resnet_sampling = false;       ///< `resblock_updown`
  std::vector<std::int64_t> heads{};  ///< by level; read for AttentionBlock only
};

/// What must be known of an autoencoder.
struct VaeOutline {
  std::size_t levels = 0;
  std::size_t layers = 0;
  std::vector<bool> down_attention;  ///< by level, the widest picture first
  std::vector<bool> up_attention;    ///< the same order
};

/// The blocks of each kind of module. CLIP: Hugging Face's own names; OpenCLIP: `resblocks`; BERT:
/// x_transformers' `attn_layers` ↔ diffusers.LDMBertModel.
LayoutBlocks unet_blocks(const UNetOutline& outline);
/// A ControlNet's: the UNet's first half, `outputs` convolutions behind it, what reads the picture.
LayoutBlocks controlnet_blocks(const UNetOutline& outline, std::size_t outputs);
LayoutBlocks vae_blocks(const VaeOutline& outline);
LayoutBlocks clip_blocks();
LayoutBlocks open_clip_blocks(std::size_t layers);
LayoutBlocks bert_blocks(std::size_t layers);
LayoutBlocks class_embedder_blocks();

/// Names in one layout → tensor names of a source. The first is what remains of a file's key once
/// its component's prefix is taken off.
using LayoutKeys = std::map<std::string, std::string, std::less<>>;

/// The tensors whose name starts with `prefix`, which is taken off.
LayoutKeys keys_below(const TensorSource& source, std::string_view prefix);
/// The averaged UNet weights (`model_ema.diffusion_model…`, names without dots) under the names
/// that they shadow; empty when there are none. Source: LitEma of CompVis/latent-diffusion.
LayoutKeys averaged_unet_keys(const TensorSource& source);
/// The file's name of the averaged copy of a tensor below `model.`.
std::string averaged_name(std::string_view key);

/// Whether a key is `prefix` or starts with `prefix` and a dot.
bool has_block(const LayoutKeys& keys, std::string_view prefix);
/// N for which PREFIX.0 … PREFIX.N-1 all exist.
std::size_t count_blocks(const LayoutKeys& keys, std::string_view prefix);
/// Shape and dtype of a key; Error::model naming `what` when it is missing.
const TensorInfo& info_of(const TensorSource& source, const LayoutKeys& keys, std::string_view key);

/// Outlines read off the names of either layout. Error::model when the names make no such module.
UNetOutline outline_original_unet(const LayoutKeys& keys);
UNetOutline outline_diffusers_unet(const LayoutKeys& keys);
VaeOutline outline_original_vae(const LayoutKeys& keys);
VaeOutline outline_diffusers_vae(const LayoutKeys& keys);

/// Adds to `view` every tensor of `keys` (original names) under its diffusers name. Keys of no
/// block keep their name, so that binding reports them.
void add_from_original(RenamedTensors& view, const TensorSource& source, const LayoutKeys& keys,
                       const LayoutBlocks& blocks);
/// The reverse: `keys` are diffusers names; PREFIX is put before the original ones. Keys of no
/// block are given back.
std::vector<std::string> add_to_original(RenamedTensors& view, const TensorSource& source,
                                         const LayoutKeys& keys, const LayoutBlocks& blocks,
                                         const std::string& prefix);

/// Tensors of original files that no component needs.
struct DroppedTensor {
  std::string_view pattern;  ///< a whole key, or with a final '*' the start of one
  std::string_view why;
};
/// The row for that key, or null for one that is not known to be useless.
const DroppedTensor* find_dropped(std::string_view key);

}  // namespace ldm
