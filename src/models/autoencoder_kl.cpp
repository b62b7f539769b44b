#include "ldm/models/autoencoder_kl.h"

#include <ATen/ops/cat.h>

#include <functional>
#include <vector>

#include "ldm/models/vae_coder.h"

namespace ldm::models {
namespace {

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
  const VaeCoderFields fields = coder_fields("AutoencoderKL", config);
  const std::int64_t latents = config.latent_channels;
  encoder = register_module("encoder", make_vae_encoder(fields, 2 * latents));
  decoder = register_module("decoder", make_vae_decoder(fields));
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
  return map_tiles(x, use_tiling, encode_grid(tiling),
                   [this](const at::Tensor& part) { return encode_tile(part); });
}

nn::DiagonalGaussian AutoencoderKLImpl::encode(const at::Tensor& x) const {
  check_autoencoder_input("AutoencoderKL encode", x, config.in_channels, config.downsampling());
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
  return map_tiles(z, use_tiling, decode_grid(tiling),
                   [this](const at::Tensor& part) { return decode_tile(part); });
}

at::Tensor AutoencoderKLImpl::decode(const at::Tensor& z) const {
  check_autoencoder_input("AutoencoderKL decode", z, config.latent_channels, 1);
  const at::Tensor latents = z.to(decoder->conv_norm_out->weight.options());
  if (!use_slicing || latents.size(0) == 1) return decode_image(latents);
  return one_by_one(latents, [this](const at::Tensor& image) { return decode_image(image); });
}

}  // namespace ldm::models
