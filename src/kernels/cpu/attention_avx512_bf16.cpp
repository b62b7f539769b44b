#include "attention_tiles.h"
#include "avx512_bf16.h"

namespace ldm::cpu {
namespace {

struct Operands : Avx512Bf16 {
  static void to_words(const Element* p, std::int64_t n, std::uint32_t* out) {
    out[(n - 1) / kPair] = 0;
    __builtin_memcpy(out, p, static_cast<std::size_t>(n) * sizeof(Element));
  }
  static void pair_rows(const Element* p, std::int64_t stride, std::int64_t rows, std::int64_t n,
                        std::uint32_t* out) {
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint32_t low = rows > 0 ? p[i] : 0U;
      const std::uint32_t high = rows > 1 ? p[stride + i] : 0U;
      out[i] = low | high << 16U;
    }
  }
  static void store_weights(std::uint32_t* words, std::int64_t i, Float weight) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + i / kPair), round(weight));
  }
  static void store_row(Element* out, const float* x, float factor, std::int64_t n) {
    for (std::int64_t i = 0; i < n; i += kLanes) {
      const __m256i rounded = round(mul(load(x + i), set(factor)));
      _mm256_mask_storeu_epi16(out + i, lanes(n - i), rounded);
    }
  }
};

}  // namespace

const AttentionKernel& attention_avx512_bf16() {
  static const AttentionKernel kernel = make_kernel<Operands>();
  return kernel;
}

}  // namespace ldm::cpu
