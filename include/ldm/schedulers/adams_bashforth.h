#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ldm {

/// The slope of the Adams–Bashforth method over even steps, of the order that `slopes` (newest
/// first, at least one) allow, up to the fourth (Liu et al. 2022, eq. 12).
at::Tensor adams_bashforth(const std::vector<at::Tensor>& slopes);

}  // namespace ldm
