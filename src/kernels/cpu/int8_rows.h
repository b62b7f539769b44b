#pragma once

// Rows as 8-bit numbers and a scale each; see tile_product.h for what `Isa` is and why nothing here
// is shared.
//
// A weight lies in columns of output channels: for every four inputs, the four numbers of each
// channel, plus 128, since AVX512-VNNI multiplies unsigned by signed ones. What that adds, 128
// times the sum of a row's numbers, is taken off at the end.

#include "ldm/kernels/cpu/int8_kernel.h"
#include "tile_product.h"

namespace ldm::cpu {
namespace {

constexpr std::int64_t kGroup = 4;
constexpr int kOffset = 128;
constexpr float kMost = 127.0F;
/// Rows without a larger number are zeros: their scale's reciprocal would have no value.
constexpr float kLeast = 1e-30F;

struct RowScale {
  float scale;    ///< m / 127
  float inverse;  ///< 127 / m
};

/// Of a row [in]. As whole numbers, the bits of NaN are above those of all other absolute values:
/// a row with one is scaled by it.
template <class Isa>
RowScale scale_of(const typename Isa::Element* x, std::int64_t in) {
  __m512i most = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < in; k += Isa::kLanes) {
    const __m512 value = _mm512_abs_ps(Isa::load_elements(x + k));
    most = _mm512_max_epu32(most, _mm512_castps_si512(value));
  }
  const std::uint32_t bits = _mm512_reduce_max_epu32(most);
  const float m = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bits))));
  if (m < kLeast) return {0.0F, 0.0F};
  return {m / kMost, kMost / m};
}

/// 16 numbers of a row, in 32 bits each.
template <class Isa>
inline __m512i quantized(const typename Isa::Element* x, float inverse) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(Isa::load_elements(x), _mm512_set1_ps(inverse)));
}

template <class Isa>
void pack(const void* weight, std::int64_t in, std::int64_t out, std::uint8_t* packed,
          float* scales) {
  const auto* from = static_cast<const typename Isa::Element*>(weight);
  for (std::int64_t o = 0; o < out; ++o) {
    const RowScale scale = scale_of<Isa>(from + o * in, in);
    scales[o] = scale.scale;
    for (std::int64_t k = 0; k < in; k += Isa::kLanes) {
      const __m512i numbers = quantized<Isa>(from + o * in + k, scale.inverse);
      const __m512i shifted = _mm512_add_epi32(numbers, _mm512_set1_epi32(kOffset));
      alignas(16) std::uint8_t bytes[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(bytes), _mm512_cvtusepi32_epi8(shifted));
      for (std::int64_t i = 0; i < Isa::kLanes; ++i) {
        packed[((k + i) / kGroup * out + o) * kGroup + i % kGroup] = bytes[i];
      }
    }
  }
}

template <class Isa>
void quantize(const void* x, std::int64_t rows, std::int64_t in, std::int8_t* values, float* scales,
              std::int32_t* sums) {
  const auto* from = static_cast<const typename Isa::Element*>(x);
  for (std::int64_t r = 0; r < rows; ++r, from += in, values += in) {
    const RowScale scale = scale_of<Isa>(from, in);
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t k = 0; k < in; k += Isa::kLanes) {
      const __m128i bytes = _mm512_cvtsepi32_epi8(quantized<Isa>(from + k, scale.inverse));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values + k), bytes);
      sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(bytes));
    }
    scales[r] = scale.scale;
    sums[r] = _mm512_reduce_add_epi32(sum);
  }
}

}  // namespace
}  // namespace ldm::cpu
