#include "ldm/models/vq_model.h"

#include "ldm/models/vae_coder.h"

namespace ldm::models {

VQModelImpl::VQModelImpl(const VQModelConfig& vq_config) : config(vq_config) {
  config.validate();
  tiling = VaeTiling::of(config.sample_size, config.downsampling());
  const VaeCoderFields fields = coder_fields("VQModel", config);
  const std::int64_t latents = config.latent_channels;
  const std::int64_t codes = config.code_channels();
  encoder = register_module("encoder", make_vae_encoder(fields, latents));
  quant_conv = register_module("quant_conv", nn::Conv2d(latents, codes, 1));
  quantize = register_module("quantize", nn::VectorQuantizer(config.num_vq_embeddings, codes));
  post_quant_conv = register_module("post_quant_conv", nn::Conv2d(codes, latents, 1));
  decoder = register_module("decoder", make_vae_decoder(fields));
}

AutoencoderShape VQModelImpl::shape() const {
  return {config.code_channels(), config.downsampling(), config.sample_size,
          config.scaling_factor,  config.force_upcast,   config.block_out_channels};
}

nn::DiagonalGaussian VQModelImpl::encode(const at::Tensor& x) const {
  check_autoencoder_input("VQModel encode", x, config.in_channels, config.downsampling());
  // A norm's weight tells dtype and device: unlike a convolution's it is never packed away.
  const at::Tensor pixels = x.to(encoder->conv_norm_out->weight.options());
  return nn::DiagonalGaussian::point(map_tiles(
      pixels, use_tiling, encode_grid(tiling),
      [this](const at::Tensor& tile) { return quant_conv->forward(encoder->forward(tile)); }));
}

at::Tensor VQModelImpl::decode(const at::Tensor& z) const {
  check_autoencoder_input("VQModel decode", z, config.code_channels(), 1);
  const at::Tensor latents = z.to(decoder->conv_norm_out->weight.options());
  return map_tiles(latents, use_tiling, decode_grid(tiling), [this](const at::Tensor& tile) {
    return decoder->forward(post_quant_conv->forward(quantize->quantize(tile).z_q));
  });
}

}  // namespace ldm::models
