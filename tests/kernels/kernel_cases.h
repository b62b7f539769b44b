#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ldm/core/random.h"

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

}  // namespace ldm::test
