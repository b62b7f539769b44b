#include "ldm/models/autoencoder_tiny.h"

#include "ldm/models/vae_coder.h"

namespace ldm::models {
namespace {

constexpr std::int64_t kTileLatents = 64;
constexpr double kTileOverlap = 0.125;

nn::TinyCoderOptions encoder_options(const AutoencoderTinyConfig& config) {
  return {config.in_channels, config.latent_channels, config.encoder_block_out_channels.front(),
          config.num_encoder_blocks, config.act_fn};
}

nn::TinyCoderOptions decoder_options(const AutoencoderTinyConfig& config) {
  return {config.latent_channels, config.out_channels, config.decoder_block_out_channels.front(),
          config.num_decoder_blocks, config.act_fn};
}

bool is_larger(const at::Tensor& x, std::int64_t side) {
  return x.size(2) > side || x.size(3) > side;
}

}  // namespace

AutoencoderTinyImpl::AutoencoderTinyImpl(const AutoencoderTinyConfig& tiny_config)
    : config(tiny_config) {
  config.validate();
  tiling = {kTileLatents * config.downsampling(), kTileLatents, kTileOverlap};
  encoder = register_module("encoder", nn::EncoderTiny(encoder_options(config)));
  decoder = register_module("decoder", nn::DecoderTiny(decoder_options(config)));
}

AutoencoderShape AutoencoderTinyImpl::shape() const {
  return {config.latent_channels, config.downsampling(), 0,
          config.scaling_factor,  config.force_upcast,   config.decoder_block_out_channels};
}

nn::DiagonalGaussian AutoencoderTinyImpl::encode(const at::Tensor& x) const {
  check_autoencoder_input("AutoencoderTiny encode", x, config.in_channels, config.downsampling());
  const at::Tensor pixels = x.to(encoder->conv_out->bias.options());
  if (!use_tiling || !is_larger(pixels, tiling.tile_sample_min_size)) {
    return nn::DiagonalGaussian::point(encoder->forward(pixels));
  }
  return nn::DiagonalGaussian::point(
      overlay_tiles(pixels, encode_grid(tiling),
                    [this](const at::Tensor& tile) { return encoder->forward(tile); }));
}

at::Tensor AutoencoderTinyImpl::decode(const at::Tensor& z) const {
  check_autoencoder_input("AutoencoderTiny decode", z, config.latent_channels, 1);
  const at::Tensor latents = z.to(decoder->conv_out->bias.options());
  if (!use_tiling || !is_larger(latents, tiling.tile_latent_min_size)) {
    return decoder->forward(latents);
  }
  return overlay_tiles(latents, decode_grid(tiling),
                       [this](const at::Tensor& tile) { return decoder->forward(tile); });
}

}  // namespace ldm::models
