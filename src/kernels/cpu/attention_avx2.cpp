#include "attention_tiles.h"
#include "avx2.h"
#include "fp32_operands.h"

namespace ldm::cpu {
namespace {

struct Operands : Fp32Operands<Avx2> {
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
