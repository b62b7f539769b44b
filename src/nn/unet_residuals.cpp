#include "ldm/nn/unet_residuals.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

at::Tensor add_rows(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  const std::int64_t rows = std::max(a.size(0), b.size(0));
  return repeat_batch(a, rows) + repeat_batch(b, rows);
}

}  // namespace

UNetResiduals add_residuals(const UNetResiduals& residuals, const UNetResiduals& more) {
  if (!residuals.mid.defined()) return more;
  if (residuals.skips.size() != more.skips.size()) {
    throw Error::internal("residuals of a ControlNet do not match the UNet's skip connections");
  }
  UNetResiduals sum;
  for (std::size_t i = 0; i < more.skips.size(); ++i) {
    sum.skips.push_back(add_rows(residuals.skips[i], more.skips[i]));
  }
  sum.mid = add_rows(residuals.mid, more.mid);
  return sum;
}

}  // namespace ldm::nn
