#pragma once

// GELU of 16 fp32 with AVX-512; see tile_product.h for what `Isa` is and why nothing here is
// shared.

#include <immintrin.h>

namespace ldm::cpu {
namespace {

/// x · Φ(x), with the error function within 1.5e-7. Source: Abramowitz & Stegun 7.1.26.
template <class Isa>
inline __m512 gelu(__m512 x) {
  constexpr float kRoot = 0.707106781F;
  constexpr float kMinusLog2E = -1.44269504F;
  const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), Isa::set(kRoot));
  const __m512 t = Isa::reciprocal(_mm512_fmadd_ps(Isa::set(0.3275911F), z, Isa::set(1.0F)));
  constexpr float kCoefficients[] = {-1.453152027F, 1.421413741F, -0.284496736F, 0.254829592F};
  __m512 sum = Isa::set(1.061405429F);
  for (const float coefficient : kCoefficients) {
    sum = _mm512_fmadd_ps(sum, t, Isa::set(coefficient));
  }
  // Beyond it, the exponential is 0 anyway; an infinite z² times 0 would not be.
  const __m512 power = Isa::exp2(
      _mm512_max_ps(_mm512_mul_ps(_mm512_mul_ps(z, z), Isa::set(kMinusLog2E)), Isa::set(-150.0F)));
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(sum, t), power);
  const __m512 half = _mm512_mul_ps(x, Isa::set(0.5F));
  // Φ = 1 - tail / 2 right of 0, tail / 2 left of it.
  const __mmask16 left = _mm512_movepi32_mask(_mm512_castps_si512(x));
  const __m512 twice = _mm512_mask_mov_ps(_mm512_sub_ps(Isa::set(2.0F), tail), left, tail);
  return _mm512_mul_ps(half, twice);
}

}  // namespace
}  // namespace ldm::cpu
