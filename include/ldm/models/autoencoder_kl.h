#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "ldm/models/autoencoder.h"
#include "ldm/models/autoencoder_kl_config.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/vae_blocks_coder.h"

namespace ldm::models {

/// The KL-regularised autoencoder of latent diffusion (Rombach et al. 2022, arXiv:2112.10752);
/// `diffusers.AutoencoderKL`.
struct AutoencoderKLImpl : AutoencoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit AutoencoderKLImpl(const AutoencoderKLConfig& config);

  /// x [B, in_channels, H, W] in [-1, 1] → the posterior over latents [B, latent_channels, h, w]
  /// in the weights' dtype, unscaled; h = H / 8 for four levels (rounded down).
  nn::DiagonalGaussian encode(const at::Tensor& x) const override;

  /// z [B, latent_channels, h, w], unscaled (latents / scaling_factor + shift_factor) →
  /// [B, out_channels, 8h, 8w] in about [-1, 1], in the weights' dtype, not clamped.
  at::Tensor decode(const at::Tensor& z) const override;

  AutoencoderShape shape() const override;

  AutoencoderKLConfig config;
  bool use_slicing = false;  ///< one image of the batch at a time

  nn::VaeEncoder encoder{nullptr};
  nn::VaeDecoder decoder{nullptr};
  nn::Conv2d quant_conv{nullptr};       ///< null without use_quant_conv
  nn::Conv2d post_quant_conv{nullptr};  ///< null without use_post_quant_conv

 private:
  at::Tensor encode_tile(const at::Tensor& x) const;
  at::Tensor encode_image(const at::Tensor& x) const;
  at::Tensor decode_tile(const at::Tensor& z) const;
  at::Tensor decode_image(const at::Tensor& z) const;
};
TORCH_MODULE(AutoencoderKL);

}  // namespace ldm::models
