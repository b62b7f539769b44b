#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ldm {

/// A 3×3 filter in the layout that `winograd_conv2d` computes with.
struct WinogradFilter {
  at::Tensor data;  ///< opaque; undefined: there is none
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool transformed = false;  ///< once and for all, or again in each call
};

/// Whether `winograd_conv2d` serves 3×3 convolutions of `weight` [out, in, 3, 3] here: on the CPU
/// in fp32 (AVX2 or AVX-512) or bf16 (AVX512-BF16), channels that fill whole vectors.
bool winograd_serves(const at::Tensor& weight);

/// The filter of a weight [out, in, 3, 3]. A large one keeps its size and is transformed in each
/// call, others take 16/9 of it: large ones belong to the deepest levels, where they are most of a
/// model's memory, and their work on few pixels is short of what memory would be read.
WinogradFilter winograd_pack(const at::Tensor& weight);

/// The filter of a weight of that shape [out, in, 3, 3] over the `data` of such a one, made in the
/// same dtype for the same CPU.
WinogradFilter winograd_filter(const at::Tensor& data, at::IntArrayRef shape);

/// Cross-correlation with padding 1 and stride 1, plus `addend` where defined. x [B, in, H, W],
/// bias [out] or undefined, addend [B, out, H, W] → [B, out, H, W] channels_last. Transforms and
/// sums in fp32; transformed inputs and filters are rounded to the dtype of x, which in bf16 adds
/// to the error of direct sums. Source: Lavin & Gray 2016, F(2×2, 3×3). Reference: at::conv2d.
at::Tensor winograd_conv2d(const at::Tensor& x, const WinogradFilter& filter,
                           const at::Tensor& bias, const at::Tensor& addend = {});

}  // namespace ldm
