#pragma once

#include <cstdint>

namespace ldm::cpu {

/// Rows of 8-bit numbers: row r is `values` [in] · scale[r].
struct Int8Rows {
  const std::int8_t* values = nullptr;
  const float* scales = nullptr;
  const std::int32_t* sums = nullptr;  ///< of each row's values
  std::int64_t count = 0;
};

/// Output channels that are computed together: what each is multiplied with, and what is added.
struct Int8Channels {
  const float* scales = nullptr;
  const float* bias = nullptr;  ///< or null
};

/// Products of 8-bit numbers for one instruction set and element type of what is read and written.
/// A number x of a row is round(x · 127 / m), m the largest absolute value of the row; sums are
/// whole numbers, so no order of work changes a result.
struct Int8Kernel {
  std::int64_t lanes;   ///< `in` and `out` are multiples of it
  std::int64_t column;  ///< output channels that are multiplied together
  /// Takes `out` ≤ `column` rows of a weight [out, in] apart into 8-bit numbers and their scales.
  void (*pack)(const void* weight, std::int64_t in, std::int64_t out, std::uint8_t* packed,
               float* scales);
  /// The same of some rows [rows, in] of the input, with the sums of their values.
  void (*quantize)(const void* x, std::int64_t rows, std::int64_t in, std::int8_t* values,
                   float* scales, std::int32_t* sums);
  /// y = rows · columnᵀ + bias for a column of `width` channels; y's rows are `stride` elements
  /// apart.
  void (*multiply)(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in,
                   std::int64_t width, const Int8Channels& channels, void* y, std::int64_t stride);
  /// y = value · gelu(gate), where the column's first half is multiplied to the one and its second
  /// to the other.
  void (*multiply_gated)(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in,
                         const Int8Channels& value, const Int8Channels& gate, void* y,
                         std::int64_t stride);
};

const Int8Kernel& int8_avx512_vnni();       ///< fp32; needs AVX-512 F, BW, DQ, VL and VNNI
const Int8Kernel& int8_avx512_vnni_bf16();  ///< bf16; needs AVX512-BF16 besides

}  // namespace ldm::cpu
