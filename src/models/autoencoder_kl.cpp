#include "ldm/models/autoencoder_kl.h"

#include <ATen/ops/cat.h>

#include <functional>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

std::vector<bool> with_attention(const std::vector<std::string>& types) {
  std::vector<bool> attention;
  for (const std::string& type : types) attention.push_back(type.starts_with("Attn"));
  return attention;
}

nn::VaeCoderOptions shared_options(const AutoencoderKLConfig& config) {
  nn::VaeCoderOptions options;
  options.block_out_channels = config.block_out_channels;
  options.layers_per_block = config.layers_per_block;
  options.mid_block_add_attention = config.mid_block_add_attention;
  options.blocks = {config.norm_num_groups, config.act_fn, 1e-6};
  return options;
}

nn::VaeEncoder make_encoder(const AutoencoderKLConfig& config) {
  nn::VaeCoderOptions options = shared_options(config);
  options.in_channels = config.in_channels;
  options.out_channels = 2 * config.latent_channels;
  options.attention = with_attention(config.down_block_types);
  return nn::VaeEncoder(options);
}

nn::VaeDecoder make_decoder(const AutoencoderKLConfig& config) {
  nn::VaeCoderOptions options = shared_options(config);
  options.in_channels = config.latent_channels;
  options.out_channels = config.out_channels;
  options.attention = with_attention(config.up_block_types);
  return nn::VaeDecoder(options);
}

void check_input(const char* what, const at::Tensor& x, std::int64_t channels, std::int64_t least) {
  if (x.dim() != 4 || x.size(0) < 1 || x.size(1) != channels || x.size(2) < least ||
      x.size(3) < least) {
    throw Error::input(cat("AutoencoderKL ", what, " takes [B, ", channels,
                           ", H, W] with sides of at least ", least, ", found ", x.sizes()));
  }
}

at::Tensor one_by_one(const at::Tensor& x,
                      const std::function<at::Tensor(const at::Tensor&)>& map) {
  std::vector<at::Tensor> results;
  for (std::int64_t i = 0; i < x.size(0); ++i) results.push_back(map(x.narrow(0, i, 1)));
  return at::cat(results);
}

}  // namespace

AutoencoderKLImpl::AutoencoderKLImpl(const AutoencoderKLConfig& vae_config) : config(vae_config) {
  config.validate();
  tiling = VaeTiling::of(config.sample_size, config.downsampling());
  encoder = register_module("encoder", make_encoder(config));
  decoder = register_module("decoder", make_decoder(config));
  const std::int64_t latents = config.latent_channels;
  if (config.use_quant_conv) {
    quant_conv = register_module("quant_conv", nn::Conv2d(2 * latents, 2 * latents, 1));
  }
  if (config.use_post_quant_conv) {
    post_quant_conv = register_module("post_quant_conv", nn::Conv2d(latents, latents, 1));
  }
}

AutoencoderShape AutoencoderKLImpl::shape() const {
  return {config.latent_channels, config.downsampling(), config.sample_size,
          config.scaling_factor,  config.force_upcast,   config.block_out_channels};
}

at::Tensor AutoencoderKLImpl::encode_tile(const at::Tensor& x) const {
  const at::Tensor moments = encoder->forward(x);
  return quant_conv ? quant_conv->forward(moments) : moments;
}

at::Tensor AutoencoderKLImpl::encode_image(const at::Tensor& x) const {
  const std::int64_t tile = tiling.tile_sample_min_size;
  if (!use_tiling || (x.size(2) <= tile && x.size(3) <= tile)) {
    return encode_tile(x);
  }
  return map_tiles(x, encode_grid(tiling),
                   [this](const at::Tensor& part) { return encode_tile(part); });
}

nn::DiagonalGaussian AutoencoderKLImpl::encode(const at::Tensor& x) const {
  check_input("encode", x, config.in_channels, config.downsampling());
  // A norm's weight tells dtype and device: unlike a convolution's it is never packed away.
  const at::Tensor pixels = x.to(encoder->conv_norm_out->weight.options());
  if (!use_slicing || pixels.size(0) == 1) return nn::DiagonalGaussian(encode_image(pixels));
  return nn::DiagonalGaussian(
      one_by_one(pixels, [this](const at::Tensor& image) { return encode_image(image); }));
}

at::Tensor AutoencoderKLImpl::decode_tile(const at::Tensor& z) const {
  return decoder->forward(post_quant_conv ? post_quant_conv->forward(z) : z);
}

at::Tensor AutoencoderKLImpl::decode_image(const at::Tensor& z) const {
  const std::int64_t tile = tiling.tile_latent_min_size;
  if (!use_tiling || (z.size(2) <= tile && z.size(3) <= tile)) {
    return decode_tile(z);
  }
  return map_tiles(z, decode_grid(tiling),
                   [this](const at::Tensor& part) { return decode_tile(part); });
}

at::Tensor AutoencoderKLImpl::decode(const at::Tensor& z) const {
  check_input("decode", z, config.latent_channels, 1);
  const at::Tensor latents = z.to(decoder->conv_norm_out->weight.options());
  if (!use_slicing || latents.size(0) == 1) return decode_image(latents);
  return one_by_one(latents, [this](const at::Tensor& image) { return decode_image(image); });
}

}  // namespace ldm::models
