#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/vae_blocks.h"

namespace ldm::nn {

/// The shape of an autoencoder's encoder or decoder; names are diffusers'. For both,
/// `block_out_channels` runs from the picture's side to the latents', while `attention` (whether a
/// block has it) runs in the order of the blocks.
struct VaeCoderOptions {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::vector<std::int64_t> block_out_channels = {64};
  std::vector<bool> attention = {false};
  std::int64_t layers_per_block = 1;
  bool mid_block_add_attention = true;
  VaeBlockOptions blocks;
};

/// Picture to moments (or latents). x [B, in, H, W] → [B, out, h, w]; `diffusers.Encoder`.
struct VaeEncoderImpl : torch::nn::Module {
  explicit VaeEncoderImpl(const VaeCoderOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  Conv2d conv_in{nullptr};
  std::shared_ptr<ModuleList<DownEncoderBlock2D>> down_blocks;
  VaeMidBlock2D mid_block{nullptr};
  GroupNorm conv_norm_out{nullptr};
  Conv2d conv_out{nullptr};
};
TORCH_MODULE(VaeEncoder);

/// Latents to picture. z [B, in, h, w] → [B, out, H, W]; `diffusers.Decoder`.
struct VaeDecoderImpl : torch::nn::Module {
  explicit VaeDecoderImpl(const VaeCoderOptions& options);
  at::Tensor forward(const at::Tensor& z) const;

  Conv2d conv_in{nullptr};
  VaeMidBlock2D mid_block{nullptr};
  std::shared_ptr<ModuleList<UpDecoderBlock2D>> up_blocks;
  GroupNorm conv_norm_out{nullptr};
  Conv2d conv_out{nullptr};
};
TORCH_MODULE(VaeDecoder);

}  // namespace ldm::nn
