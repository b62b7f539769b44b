#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "ldm/models/autoencoder.h"
#include "ldm/models/autoencoder_tiny_config.h"
#include "ldm/nn/tiny_coder.h"

namespace ldm::models {

/// A small distilled autoencoder on the latents of a large one (TAESD, github.com/madebyollin);
/// `diffusers.AutoencoderTiny`.
struct AutoencoderTinyImpl : AutoencoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit AutoencoderTinyImpl(const AutoencoderTinyConfig& config);

  /// x [B, in_channels, H, W] in [-1, 1] → its latents [B, latent_channels, h, w] in the weights'
  /// dtype; what the large autoencoder's latents times its scaling_factor would be.
  nn::DiagonalGaussian encode(const at::Tensor& x) const override;

  /// z [B, latent_channels, h, w] → [B, out_channels, H, W] in about [-1, 1], in the weights'
  /// dtype, not clamped.
  at::Tensor decode(const at::Tensor& z) const override;

  AutoencoderShape shape() const override;

  AutoencoderTinyConfig config;

  nn::EncoderTiny encoder{nullptr};
  nn::DecoderTiny decoder{nullptr};
};
TORCH_MODULE(AutoencoderTiny);

}  // namespace ldm::models
