#include "ldm/nn/diagonal_gaussian.h"

#include <ATen/ops/chunk.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sum.h>

namespace ldm::nn {

DiagonalGaussian::DiagonalGaussian(const at::Tensor& moments) {
  const auto halves = at::chunk(moments, 2, 1);
  mean = halves.at(0);
  logvar = at::clamp(halves.at(1), -30.0, 20.0);
  std = at::exp(0.5 * logvar);
}

DiagonalGaussian DiagonalGaussian::point(const at::Tensor& mean) {
  DiagonalGaussian certain;
  certain.mean = mean;
  return certain;
}

at::Tensor DiagonalGaussian::sample(const at::Tensor& noise) const {
  if (is_point()) return mean;
  return mean + std * noise.to(mean.device(), mean.scalar_type());
}

at::Tensor DiagonalGaussian::kl() const {
  const at::Tensor terms = mean * mean + at::exp(logvar) - 1.0 - logvar;
  return 0.5 * at::sum(terms, {1, 2, 3});
}

}  // namespace ldm::nn
