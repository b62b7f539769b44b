#include "attention_tiles.h"
#include "avx512.h"
#include "fp32_operands.h"

namespace ldm::cpu {
namespace {

struct Operands : Fp32Operands<Avx512> {
  static void store_weights(std::uint32_t* words, std::int64_t i, Float weight) {
    _mm512_storeu_si512(words + i, _mm512_castps_si512(weight));
  }
  static void store_row(float* out, const float* x, float factor, std::int64_t n) {
    for (std::int64_t i = 0; i < n; i += kLanes) {
      _mm512_mask_storeu_ps(out + i, lanes(n - i), mul(load(x + i), set(factor)));
    }
  }
};

}  // namespace

const AttentionKernel& attention_avx512() {
  static const AttentionKernel kernel = make_kernel<Operands>();
  return kernel;
}

}  // namespace ldm::cpu
