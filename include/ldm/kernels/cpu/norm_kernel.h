#pragma once

#include <cstdint>

namespace ldm::cpu {

/// Normalisations for one instruction set and element type, over rows of `channels` elements, one
/// after the other; `channels` is a multiple of `lanes`.
struct NormKernel {
  std::int64_t lanes;
  /// Sums and sums of squares of each channel of x + add (add [channels], or null) over the rows,
  /// in fp32.
  void (*moments)(const void* x, const float* add, std::int64_t rows, std::int64_t channels,
                  float* sums, float* squares);
  /// y = x · scale + shift with `scale` and `shift` [channels], and SiLU of it.
  void (*scale_and_shift)(const void* x, const float* scale, const float* shift, std::int64_t rows,
                          std::int64_t channels, bool silu, void* y);
  /// Each row less its mean, over its standard deviation, · weight + bias.
  void (*layer_norm)(const void* x, const float* weight, const float* bias, float eps,
                     std::int64_t rows, std::int64_t channels, void* y);
};

const NormKernel& norm_avx2();         ///< fp32; needs AVX2 and FMA
const NormKernel& norm_avx512();       ///< fp32; needs AVX-512 F, BW, DQ and VL
const NormKernel& norm_avx512_bf16();  ///< bf16; needs AVX512-BF16 besides

}  // namespace ldm::cpu
