#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ldm::models {

/// The fields of a tiny autoencoder's config.json with diffusers' names and defaults
/// (`diffusers.AutoencoderTiny`).
struct AutoencoderTinyConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::vector<std::int64_t> encoder_block_out_channels = {64, 64, 64, 64};  ///< all the same
  std::vector<std::int64_t> decoder_block_out_channels = {64, 64, 64, 64};  ///< all the same
  std::string act_fn = "relu";
  std::string upsample_fn = "nearest";  ///< others are refused
  std::int64_t latent_channels = 4;
  std::int64_t upsampling_scaling_factor = 2;  ///< others are refused
  std::vector<std::int64_t> num_encoder_blocks = {1, 3, 3, 3};
  std::vector<std::int64_t> num_decoder_blocks = {3, 3, 3, 1};
  double latent_magnitude = 3.0;  ///< no effect: for latents stored as bytes
  double latent_shift = 0.5;      ///< no effect: for latents stored as bytes
  bool force_upcast = false;
  double scaling_factor = 1.0;                   ///< its latents are what the denoiser sees
  double shift_factor = 0.0;                     ///< refused unless 0
  std::vector<std::int64_t> block_out_channels;  ///< the decoder's again; no effect

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("in_channels", in_channels);
    v("out_channels", out_channels);
    v("encoder_block_out_channels", encoder_block_out_channels);
    v("decoder_block_out_channels", decoder_block_out_channels);
    v("act_fn", act_fn);
    v("upsample_fn", upsample_fn);
    v("latent_channels", latent_channels);
    v("upsampling_scaling_factor", upsampling_scaling_factor);
    v("num_encoder_blocks", num_encoder_blocks);
    v("num_decoder_blocks", num_decoder_blocks);
    v("latent_magnitude", latent_magnitude);
    v("latent_shift", latent_shift);
    v("force_upcast", force_upcast);
    v("scaling_factor", scaling_factor);
    v("shift_factor", shift_factor);
    v("block_out_channels", block_out_channels);
  }

  /// Pixels per latent along one side: 2^(levels - 1); 8 for TAESD.
  std::int64_t downsampling() const { return std::int64_t{1} << (num_encoder_blocks.size() - 1); }

  /// Throws Error::model naming the first field that is inconsistent or not supported.
  void validate() const;
};

}  // namespace ldm::models
