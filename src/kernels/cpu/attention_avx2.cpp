#include "attention_tiles.h"
#include "avx2.h"
#include "fp32_operands.h"

namespace ldm::cpu {
namespace {

struct Operands : Fp32Operands<Avx2> {
  static constexpr std::int64_t kColumns = 2;

  static Float dot(Float sum, std::uint32_t word, const std::uint32_t* p) {
    const Float left = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(word)));
    return fma(left, load(reinterpret_cast<const float*>(p)), sum);
  }
  static void store_weights(std::uint32_t* words, std::int64_t i, Float weight) {
    store(reinterpret_cast<float*>(words + i), weight);
  }
  static void store_row(float* out, const float* x, float factor, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(out + i, mul(load(x + i), set(factor)));
    for (; i < n; ++i) out[i] = x[i] * factor;
  }
};

}  // namespace

const AttentionKernel& attention_avx2() {
  static const AttentionKernel kernel = make_kernel<Operands>();
  return kernel;
}

}  // namespace ldm::cpu
