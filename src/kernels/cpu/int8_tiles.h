#pragma once

// Products of 8-bit numbers with AVX512-VNNI, four at a time and lane; see int8_rows.h.

#include "gelu_avx512.h"
#include "int8_rows.h"

namespace ldm::cpu {
namespace {

constexpr std::int64_t kVectors = 4;
constexpr std::int64_t kColumn = kVectors * 16;

template <int Rows, int Columns>
using Sums = __m512i[Rows][Columns];

/// sum += left · right in every lane. With GCC 12's intrinsic, the sums of a loop are copied to
/// other registers and back at every step, which takes as long as the products.
inline void add_dot(__m512i& sum, __m512i right, __m512i left) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(right), "v"(left));
}

template <int Rows, int Columns>
inline void add_products(const std::int8_t* a, const std::uint8_t* b, std::int64_t in,
                         Sums<Rows, Columns>& sums) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) sums[r][c] = _mm512_setzero_si512();
  }
  for (std::int64_t k = 0; k < in; k += kGroup, b += Columns * 64) {
    __m512i right[Columns];
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) right[c] = _mm512_loadu_si512(b + c * 64);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      std::int32_t word;
      __builtin_memcpy(&word, a + r * in + k, sizeof word);
      const __m512i left = _mm512_set1_epi32(word);
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) add_dot(sums[r][c], right[c], left);
    }
  }
}

/// 16 channels of a row, from `channel` on.
inline __m512 finished(__m512i sum, const Int8Rows& rows, std::int64_t row,
                       const Int8Channels& channels, std::int64_t channel) {
  const __m512i offset = _mm512_set1_epi32(kOffset * rows.sums[row]);
  const __m512 whole = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
  const __m512 scale =
      _mm512_mul_ps(_mm512_set1_ps(rows.scales[row]), _mm512_loadu_ps(channels.scales + channel));
  if (channels.bias == nullptr) return _mm512_mul_ps(whole, scale);
  return _mm512_fmadd_ps(whole, scale, _mm512_loadu_ps(channels.bias + channel));
}

/// Calls `tile` with a number of rows and the first of them, until all are done.
template <class Tile>
inline void for_each_tile(std::int64_t rows, const Tile& tile) {
  std::int64_t r = 0;
  const auto run = [&]<int Rows>() {
    tile.template operator()<Rows>(r);
    r += Rows;
  };
  while (rows - r >= kRows) run.template operator()<kRows>();
  if (rows - r >= 4) run.template operator()<4>();
  if (rows - r >= 2) run.template operator()<2>();
  if (rows - r >= 1) run.template operator()<1>();
}

/// Computes `Outputs` vectors of y a row, each what `finish` makes of the row's sums, its number
/// and the vector's.
template <class Isa, int Columns, int Outputs, class Finish>
inline void multiply_tiles(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in,
                           void* y, std::int64_t stride, const Finish& finish) {
  auto* to = static_cast<typename Isa::Element*>(y);
  for_each_tile(rows.count, [&]<int Rows>(std::int64_t first) {
    Sums<Rows, Columns> sums;
    add_products<Rows, Columns>(rows.values + first * in, packed, in, sums);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < Outputs; ++v) {
        Isa::store_elements(to + (first + r) * stride + v * Isa::kLanes,
                            finish(sums[r], first + r, v));
      }
    }
  });
}

template <class Isa, int Columns>
void multiply_columns_of(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in,
                         const Int8Channels& channels, void* y, std::int64_t stride) {
  multiply_tiles<Isa, Columns, Columns>(
      rows, packed, in, y, stride, [&](const auto& sums, std::int64_t row, int v) {
        return finished(sums[v], rows, row, channels, v * Isa::kLanes);
      });
}

template <class Isa>
void multiply(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in, std::int64_t width,
              const Int8Channels& channels, void* y, std::int64_t stride) {
  const std::int64_t columns = width / Isa::kLanes;
  if (columns == 4) return multiply_columns_of<Isa, 4>(rows, packed, in, channels, y, stride);
  if (columns == 3) return multiply_columns_of<Isa, 3>(rows, packed, in, channels, y, stride);
  if (columns == 2) return multiply_columns_of<Isa, 2>(rows, packed, in, channels, y, stride);
  multiply_columns_of<Isa, 1>(rows, packed, in, channels, y, stride);
}

template <class Isa>
void multiply_gated(const Int8Rows& rows, const std::uint8_t* packed, std::int64_t in,
                    const Int8Channels& value, const Int8Channels& gate, void* y,
                    std::int64_t stride) {
  constexpr int kHalf = kVectors / 2;
  multiply_tiles<Isa, kVectors, kHalf>(
      rows, packed, in, y, stride, [&](const auto& sums, std::int64_t row, int v) {
        const std::int64_t channel = v * Isa::kLanes;
        return Isa::mul(finished(sums[v], rows, row, value, channel),
                        gelu<Isa>(finished(sums[kHalf + v], rows, row, gate, channel)));
      });
}

template <class Isa>
Int8Kernel make_int8_kernel() {
  return {Isa::kLanes, kColumn, pack<Isa>, quantize<Isa>, multiply<Isa>, multiply_gated<Isa>};
}

}  // namespace
}  // namespace ldm::cpu
