#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ldm::nn {

/// What a UNet's first half gives, or what is added to it: one tensor [B, ·, H, W] a skip
/// connection, in order, and one for the middle. Undefined and empty where there is nothing.
struct UNetResiduals {
  std::vector<at::Tensor> skips;
  at::Tensor mid;
};

/// `residuals` plus `more`; tensors of fewer rows are repeated.
UNetResiduals add_residuals(const UNetResiduals& residuals, const UNetResiduals& more);

}  // namespace ldm::nn
