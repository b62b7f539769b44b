#pragma once

#include <ATen/core/Tensor.h>

namespace ldm::nn {

/// The factorised Gaussian that a KL autoencoder's encoder describes;
/// `diffusers.DiagonalGaussianDistribution`. An encoder without one gives a point: all mean.
struct DiagonalGaussian {
  /// moments [B, 2C, h, w]: means, then log-variances (clamped to [-30, 20]).
  explicit DiagonalGaussian(const at::Tensor& moments);

  /// The distribution that is certain of `mean` [B, C, h, w].
  static DiagonalGaussian point(const at::Tensor& mean);
  /// Whether `sample` needs no noise.
  bool is_point() const { return !std.defined(); }

  /// mean + std * noise (a point: the mean), in its dtype. noise [B, C, h, w] standard normal.
  at::Tensor sample(const at::Tensor& noise) const;
  /// The most likely latents: the mean.
  at::Tensor mode() const { return mean; }
  /// KL divergence from the standard normal, summed over C, h, w → [B].
  at::Tensor kl() const;

  at::Tensor mean;    ///< [B, C, h, w]
  at::Tensor logvar;  ///< [B, C, h, w], undefined for a point
  at::Tensor std;     ///< [B, C, h, w], undefined for a point

 private:
  DiagonalGaussian() = default;
};

}  // namespace ldm::nn
