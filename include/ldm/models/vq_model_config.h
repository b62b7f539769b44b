#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ldm::models {

/// The fields of a vector-quantised autoencoder's config.json with diffusers' names and defaults
/// (`diffusers.VQModel`).
struct VQModelConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::vector<std::string> down_block_types = {"DownEncoderBlock2D"};
  std::vector<std::string> up_block_types = {"UpDecoderBlock2D"};
  std::vector<std::int64_t> block_out_channels = {64};
  std::int64_t layers_per_block = 1;
  std::string act_fn = "silu";
  std::int64_t latent_channels = 3;
  std::int64_t sample_size = 32;
  std::int64_t num_vq_embeddings = 256;
  std::int64_t norm_num_groups = 32;
  std::optional<std::int64_t> vq_embed_dim;  ///< channels of a code; null: latent_channels
  double scaling_factor = 0.18215;           ///< 1.0 in all that was published with its config
  std::string norm_type = "group";           ///< "spatial" (MoVQ) is refused
  bool mid_block_add_attention = true;
  bool lookup_from_codebook =
      false;  ///< no effect: latents are always re-quantised before decoding
  bool force_upcast = false;

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("in_channels", in_channels);
    v("out_channels", out_channels);
    v("down_block_types", down_block_types);
    v("up_block_types", up_block_types);
    v("block_out_channels", block_out_channels);
    v("layers_per_block", layers_per_block);
    v("act_fn", act_fn);
    v("latent_channels", latent_channels);
    v("sample_size", sample_size);
    v("num_vq_embeddings", num_vq_embeddings);
    v("norm_num_groups", norm_num_groups);
    v("vq_embed_dim", vq_embed_dim);
    v("scaling_factor", scaling_factor);
    v("norm_type", norm_type);
    v("mid_block_add_attention", mid_block_add_attention);
    v("lookup_from_codebook", lookup_from_codebook);
    v("force_upcast", force_upcast);
  }

  /// Pixels per latent along one side: 2^(levels - 1).
  std::int64_t downsampling() const { return std::int64_t{1} << (block_out_channels.size() - 1); }

  /// Channels of a code, which are the latents' channels.
  std::int64_t code_channels() const { return vq_embed_dim.value_or(latent_channels); }

  /// Throws Error::model naming the first field that is inconsistent or not supported.
  void validate() const;
};

}  // namespace ldm::models
