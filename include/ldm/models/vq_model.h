#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "ldm/models/autoencoder.h"
#include "ldm/models/vq_model_config.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/vae_blocks_coder.h"
#include "ldm/nn/vector_quantizer.h"

namespace ldm::models {

/// The vector-quantised autoencoder of latent diffusion, its codebook counted to the decoder
/// (Rombach et al. 2022, arXiv:2112.10752, section 3.1); `diffusers.VQModel`.
struct VQModelImpl : AutoencoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit VQModelImpl(const VQModelConfig& config);

  /// x [B, in_channels, H, W] in [-1, 1] → its latents [B, code_channels, h, w], not yet quantised,
  /// in the weights' dtype: the space that diffusion works in.
  nn::DiagonalGaussian encode(const at::Tensor& x) const override;

  /// z [B, code_channels, h, w], unscaled → quantised, then decoded to [B, out_channels, H, W] in
  /// about [-1, 1], in the weights' dtype, not clamped.
  at::Tensor decode(const at::Tensor& z) const override;

  AutoencoderShape shape() const override;

  VQModelConfig config;

  nn::VaeEncoder encoder{nullptr};
  nn::Conv2d quant_conv{nullptr};
  nn::VectorQuantizer quantize{nullptr};
  nn::Conv2d post_quant_conv{nullptr};
  nn::VaeDecoder decoder{nullptr};
};
TORCH_MODULE(VQModel);

}  // namespace ldm::models
