#pragma once

// As avx512.h, with bf16 elements in memory; needs AVX512-BF16.

#include "avx512.h"

namespace ldm::cpu {
namespace {

struct Avx512Bf16 : Avx512 {
  using Element = std::uint16_t;  ///< bf16's bits

  static Float load_elements(const Element* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static __m256i round(Float x) { return (__m256i)_mm512_cvtneps_pbh(x); }
  static void store_elements(Element* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round(x));
  }

  // 4e-5 of the value, a hundredth of what rounding to bf16 takes.
  static Float exp2(Float x) { return power<4>(x); }
  /// Within 2^-14 of the value.
  static Float reciprocal(Float x) { return _mm512_rcp14_ps(x); }
};

}  // namespace
}  // namespace ldm::cpu
