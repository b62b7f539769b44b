#pragma once

// Vectors of 16 fp32 with AVX-512 (F, BW, DQ, VL), and fp32 elements in memory. For source files
// that are compiled for it: everything is in an unnamed namespace.

#include <immintrin.h>

#include <cstdint>

namespace ldm::cpu {
namespace {

struct Avx512 {
  using Float = __m512;
  using Element = float;
  static constexpr std::int64_t kLanes = 16;
  static constexpr std::int64_t kColumns = 4;
  static constexpr std::int64_t kPair = 1;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static float first(Float x) { return _mm512_cvtss_f32(x); }
  static float sum_lanes(Float x) { return _mm512_reduce_add_ps(x); }
  static float max_lanes(Float x) { return _mm512_reduce_max_ps(x); }

  /// The lanes below n.
  static __mmask16 lanes(std::int64_t n) {
    return n >= kLanes ? static_cast<__mmask16>(0xFFFFU) : static_cast<__mmask16>((1U << n) - 1U);
  }

  static Float dot(Float sum, std::uint32_t word, const std::uint32_t* p) {
    const Float left = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(word)));
    return fma(left, _mm512_castsi512_ps(_mm512_loadu_si512(p)), sum);
  }
  static void store_words(std::uint32_t* words, const Float (&values)[kPair]) {
    _mm512_storeu_si512(words, _mm512_castps_si512(values[0]));
  }

  static Float load_elements(const Element* p) { return load(p); }
  static void store_elements(Element* p, Float x) { store(p, x); }

  static Float exp2(Float x) { return power<6>(x); }
  static Float reciprocal(Float x) { return _mm512_div_ps(set(1.0F), x); }

  /// 2^x by the Taylor polynomial of 2^f, |f| ≤ 1/2, of `degree` coefficients after the first.
  template <int Degree>
  static Float power(Float x) {
    constexpr float kCoefficients[] = {1.0F,           0.693147181F,   0.240226507F,
                                       0.0555041087F,  0.00961812911F, 0.00133335581F,
                                       0.000154035304F};
    const Float whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Float part = _mm512_sub_ps(x, whole);
    Float sum = set(kCoefficients[Degree]);
#pragma GCC unroll 8
    for (int i = Degree - 1; i >= 0; --i) sum = fma(sum, part, set(kCoefficients[i]));
    return _mm512_scalef_ps(sum, whole);
  }
};

}  // namespace
}  // namespace ldm::cpu
