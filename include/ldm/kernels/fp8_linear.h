#pragma once

#include <ATen/core/Tensor.h>

namespace ldm {

/// x in e4m3, any shape and device: the nearest, at most 448 of either sign; NaN stays.
at::Tensor fp8_of(const at::Tensor& x);

/// A weight in e4m3 as values · scale, its largest value at e4m3's largest.
struct Fp8Weight {
  at::Tensor values;  ///< e4m3 [out, in]
  at::Tensor scale;   ///< fp32 []
  at::Tensor one;     ///< fp32 [], what the other factor is scaled by
};

/// Whether weights [out, in] can be multiplied in e4m3 here: on a GPU of compute capability 8.9 or
/// newer with the plugin's kernels, fp16 or bf16, both sides multiples of 16.
bool fp8_serves(const at::Tensor& weight);

/// weight [out, in] on any device.
Fp8Weight fp8_pack_linear(const at::Tensor& weight);

/// y = x Wᵀ; x e4m3 [..., in] on a GPU → [..., out] in `dtype`, fp16 or bf16. Can be recorded as a
/// CUDA graph. Reference: `fp8_linear_plainly`.
at::Tensor fp8_linear(const at::Tensor& x, const Fp8Weight& weight, at::ScalarType dtype);

/// What `fp8_linear` computes, in fp32 on any device.
at::Tensor fp8_linear_plainly(const at::Tensor& x, const Fp8Weight& weight);

}  // namespace ldm
