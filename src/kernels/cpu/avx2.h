#pragma once

// Vectors of 8 fp32 with AVX2 and FMA, and fp32 elements in memory; see avx512.h.

#include <immintrin.h>

#include <cstdint>

namespace ldm::cpu {
namespace {

struct Avx2 {
  using Float = __m256;
  using Element = float;
  static constexpr std::int64_t kLanes = 8;
  static constexpr std::int64_t kColumns = 2;
  static constexpr std::int64_t kPair = 1;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set(float x) { return _mm256_set1_ps(x); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static float first(Float x) { return _mm256_cvtss_f32(x); }
  static float sum_lanes(Float x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float max_lanes(Float x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  static Float dot(Float sum, std::uint32_t word, const std::uint32_t* p) {
    const Float left = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(word)));
    return fma(left, load(reinterpret_cast<const float*>(p)), sum);
  }
  static void store_words(std::uint32_t* words, const Float (&values)[kPair]) {
    store(reinterpret_cast<float*>(words), values[0]);
  }

  static Float load_elements(const Element* p) { return load(p); }
  static void store_elements(Element* p, Float x) { store(p, x); }
  static Float reciprocal(Float x) { return _mm256_div_ps(set(1.0F), x); }

  /// 2^x, x ≤ 127, by the Taylor polynomial of 2^f, |f| ≤ 1/2; 0 where it would be subnormal.
  static Float exp2(Float x) {
    constexpr float kCoefficients[] = {1.0F,           0.693147181F,   0.240226507F,
                                       0.0555041087F,  0.00961812911F, 0.00133335581F,
                                       0.000154035304F};
    constexpr int kMantissaBits = 23;
    const Float normal = _mm256_cmp_ps(x, set(-126.0F), _CMP_NLT_UQ);
    const Float whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Float part = _mm256_sub_ps(x, whole);
    Float sum = set(kCoefficients[6]);
#pragma GCC unroll 8
    for (int i = 5; i >= 0; --i) sum = fma(sum, part, set(kCoefficients[i]));
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), kMantissaBits);
    const Float scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), exponent));
    return _mm256_and_ps(scaled, normal);
  }
};

}  // namespace
}  // namespace ldm::cpu
