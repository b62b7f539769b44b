#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "ldm/models/vae_tiling.h"
#include "ldm/nn/diagonal_gaussian.h"

namespace ldm::models {

/// The facts of an autoencoder's configuration that a pipeline needs.
struct AutoencoderShape {
  std::int64_t latent_channels = 4;
  std::int64_t downsampling = 8;    ///< pixels per latent along a side
  std::int64_t sample_size = 0;     ///< pixels a side it was trained on; 0: unknown
  double scaling_factor = 0.18215;  ///< the denoiser sees latents * scaling_factor
  bool force_upcast = false;        ///< fp16 overflows in this model: run it in a wider dtype
  std::vector<std::int64_t> block_out_channels;  ///< from the picture's side to the latents'
};

/// Pictures to latents and back.
struct AutoencoderImpl : torch::nn::Module {
  /// x [B, 3, H, W] in [-1, 1] → the distribution of unscaled latents [B, latent_channels, h, w] in
  /// the weights' dtype: a Gaussian for a KL autoencoder, a point for the others.
  virtual nn::DiagonalGaussian encode(const at::Tensor& x) const = 0;

  /// z [B, latent_channels, h, w], unscaled → [B, 3, H, W] in about [-1, 1], not clamped.
  virtual at::Tensor decode(const at::Tensor& z) const = 0;

  virtual AutoencoderShape shape() const = 0;

  bool use_tiling = false;  ///< inputs larger than a tile are cut; memory stays that of one tile
  VaeTiling tiling;
};

}  // namespace ldm::models
