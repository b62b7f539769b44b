#pragma once

// As avx512.h, with bf16 elements in memory; needs AVX512-BF16.

#include "avx512.h"

namespace ldm::cpu {
namespace {

struct Avx512Bf16 : Avx512 {
  using Element = std::uint16_t;  ///< bf16's bits
  static constexpr std::int64_t kPair = 2;

  static Float dot(Float sum, std::uint32_t word, const std::uint32_t* p) {
    const __m512i left = _mm512_set1_epi32(static_cast<int>(word));
    const __m512i right = _mm512_loadu_si512(p);
    return _mm512_dpbf16_ps(sum, (__m512bh)left, (__m512bh)right);
  }

  static Float load_elements(const Element* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static __m256i round(Float x) { return (__m256i)_mm512_cvtneps_pbh(x); }
  static void store_elements(Element* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round(x));
  }
  static void store_words(std::uint32_t* words, const Float (&values)[kPair]) {
    const __m512i low = _mm512_cvtepu16_epi32(round(values[0]));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(round(values[1])), 16);
    _mm512_storeu_si512(words, _mm512_or_si512(low, high));
  }

  // 4e-5 of the value, a hundredth of what rounding to bf16 takes.
  static Float exp2(Float x) { return power<4>(x); }
  /// Within 2^-14 of the value.
  static Float reciprocal(Float x) { return _mm512_rcp14_ps(x); }
};

}  // namespace
}  // namespace ldm::cpu
