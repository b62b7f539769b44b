#include "ldm/train/image_metrics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>

#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

constexpr double kRange = 2.0;
constexpr std::int64_t kWindow = 11;
constexpr double kSigma = 1.5;

void check_pair(const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() == 4 && a.sizes() == b.sizes()) return;
  throw Error::internal(cat("pictures of shapes ", a.sizes(), " and ", b.sizes(), " compared"));
}

/// [N, 1, H, W] → [N, 1, H - 10, W - 10]: rows and columns one after the other.
at::Tensor blurred(const at::Tensor& x) {
  const at::Tensor distance = at::arange(kWindow, x.options()) - (kWindow - 1) / 2;
  at::Tensor weights = (distance * distance / (-2 * kSigma * kSigma)).exp();
  weights = weights / weights.sum();
  return at::conv2d(at::conv2d(x, weights.view({1, 1, kWindow, 1})),
                    weights.view({1, 1, 1, kWindow}));
}

}  // namespace

at::Tensor psnr(const at::Tensor& a, const at::Tensor& b) {
  check_pair(a, b);
  const at::Tensor error = (a.to(at::kDouble) - b.to(at::kDouble)).square().mean({1, 2, 3});
  return 10 * (kRange * kRange / error).log10();
}

at::Tensor ssim(const at::Tensor& a, const at::Tensor& b) {
  check_pair(a, b);
  const std::int64_t height = a.size(2);
  const std::int64_t width = a.size(3);
  if (height < kWindow || width < kWindow) {
    throw Error::internal(cat("SSIM of pictures of ", width, "x", height, " pixels"));
  }
  const at::Tensor x = a.to(at::kDouble).reshape({-1, 1, height, width});
  const at::Tensor y = b.to(at::kDouble).reshape({-1, 1, height, width});
  const std::vector<at::Tensor> means = blurred(at::cat({x, y, x * x, y * y, x * y})).chunk(5);
  const at::Tensor& mean_x = means[0];
  const at::Tensor& mean_y = means[1];
  const at::Tensor variance_x = means[2] - mean_x * mean_x;
  const at::Tensor variance_y = means[3] - mean_y * mean_y;
  const at::Tensor covariance = means[4] - mean_x * mean_y;
  constexpr double kC1 = (0.01 * kRange) * (0.01 * kRange);
  constexpr double kC2 = (0.03 * kRange) * (0.03 * kRange);
  const at::Tensor similarity =
      (2 * mean_x * mean_y + kC1) * (2 * covariance + kC2) /
      ((mean_x * mean_x + mean_y * mean_y + kC1) * (variance_x + variance_y + kC2));
  return similarity.reshape({a.size(0), -1}).mean(1);
}

}  // namespace ldm::train
