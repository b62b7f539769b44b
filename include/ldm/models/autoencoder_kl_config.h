#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ldm::models {

/// The fields of a KL autoencoder's config.json with diffusers' names and defaults
/// (`diffusers.AutoencoderKL`).
struct AutoencoderKLConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::vector<std::string> down_block_types = {"DownEncoderBlock2D"};
  std::vector<std::string> up_block_types = {"UpDecoderBlock2D"};
  std::vector<std::int64_t> block_out_channels = {64};
  std::int64_t layers_per_block = 1;
  std::string act_fn = "silu";
  std::int64_t latent_channels = 4;
  std::int64_t norm_num_groups = 32;
  std::int64_t sample_size = 32;    ///< pixels; the side of a tile when tiling
  double scaling_factor = 0.18215;  ///< the denoiser sees (latents - shift_factor) * scaling_factor
  std::optional<double> shift_factor;
  std::optional<std::vector<double>> latents_mean;  ///< refused unless null
  std::optional<std::vector<double>> latents_std;   ///< refused unless null
  bool force_upcast = true;  ///< fp16 overflows in this model: run it in a wider dtype
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;

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
    v("norm_num_groups", norm_num_groups);
    v("sample_size", sample_size);
    v("scaling_factor", scaling_factor);
    v("shift_factor", shift_factor);
    v("latents_mean", latents_mean);
    v("latents_std", latents_std);
    v("force_upcast", force_upcast);
    v("use_quant_conv", use_quant_conv);
    v("use_post_quant_conv", use_post_quant_conv);
    v("mid_block_add_attention", mid_block_add_attention);
  }

  /// Pixels per latent along one side: 2^(levels - 1); 8 for Stable Diffusion.
  std::int64_t downsampling() const;

  /// Throws Error::model naming the first field that is inconsistent or not supported.
  void validate() const;
};

}  // namespace ldm::models
