#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/nn/vae_blocks_coder.h"

namespace ldm::models {

/// The fields that the configs of AutoencoderKL and VQModel share.
struct VaeCoderFields {
  std::string_view class_name;  ///< for messages
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::vector<std::string> down_block_types;
  std::vector<std::string> up_block_types;
  std::vector<std::int64_t> block_out_channels;
  std::int64_t layers_per_block = 1;
  std::string act_fn;
  std::int64_t latent_channels = 4;
  std::int64_t norm_num_groups = 32;
  std::int64_t sample_size = 32;
  double scaling_factor = 1.0;
  bool mid_block_add_attention = true;
};

/// Those fields of a whole config.
template <class Config>
VaeCoderFields coder_fields(std::string_view class_name, const Config& c) {
  return {class_name,
          c.in_channels,
          c.out_channels,
          c.down_block_types,
          c.up_block_types,
          c.block_out_channels,
          c.layers_per_block,
          c.act_fn,
          c.latent_channels,
          c.norm_num_groups,
          c.sample_size,
          c.scaling_factor,
          c.mid_block_add_attention};
}

/// Throws Error::model naming the first field that is inconsistent or not supported.
void validate_coder(const VaeCoderFields& fields);

/// A picture's encoder to `out_channels` channels of moments or latents.
nn::VaeEncoder make_vae_encoder(const VaeCoderFields& fields, std::int64_t out_channels);

/// The decoder of `latent_channels` channels.
nn::VaeDecoder make_vae_decoder(const VaeCoderFields& fields);

/// Throws Error::input unless x is [B, channels, H, W] with B ≥ 1 and sides of at least `least`;
/// `what` says who takes it: "VQModel encode".
void check_autoencoder_input(const std::string& what, const at::Tensor& x, std::int64_t channels,
                             std::int64_t least);

}  // namespace ldm::models
