#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ldm/core/random.h"
#include "tests/support/catch.h"

namespace ldm::test {

/// Normal numbers that depend on the seed alone.
inline at::Tensor draw(std::uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype) {
  return ImageRandom(seed).randn(shape).to(dtype);
}

/// What the CUDA kernels compute in.
inline const std::vector<at::ScalarType> kGpuTypes = {at::kFloat, at::kHalf, at::kBFloat16};

/// How far a kernel may be from its reference, in standard deviations.
inline double tolerance(at::ScalarType dtype) { return dtype == at::kFloat ? 1e-5 : 4e-2; }

/// Of fp32 and bf16, the dtypes for which `serves` holds here.
template <class Serves>
std::vector<at::ScalarType> types_served(const Serves& serves) {
  std::vector<at::ScalarType> types;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    if (serves(dtype)) types.push_back(dtype);
  }
  return types;
}

/// Fails unless `actual` is e4m3, within half a step of what is exact, at most 448.
inline void expect_e4m3(const at::Tensor& actual, const at::Tensor& exact) {
  CHECK(actual.scalar_type() == at::kFloat8_e4m3fn);
  CHECK(actual.sizes() == exact.sizes());
  const at::Tensor bounded = exact.to(at::kCPU, at::kDouble).clamp(-448, 448);
  const at::Tensor error = (actual.to(at::kCPU).to(at::kDouble) - bounded).abs();
  // Three bits of mantissa; below 2^-6 steps of 2^-9. The exact number was computed otherwise.
  CHECK((error <= bounded.abs() / 16 * 1.001 + 1.001 / 1024).all().item<bool>());
}

}  // namespace ldm::test
