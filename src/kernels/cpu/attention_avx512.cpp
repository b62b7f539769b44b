#include "attention_tiles.h"
#include "avx512.h"

namespace ldm::cpu {
namespace {

struct Operands : Avx512 {
  static constexpr std::int64_t kColumns = 4;
  static constexpr std::int64_t kPair = 1;

  static Float dot(Float sum, std::uint32_t word, const std::uint32_t* p) {
    const Float left = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(word)));
    return fma(left, _mm512_castsi512_ps(_mm512_loadu_si512(p)), sum);
  }
  static void to_words(const float* p, std::int64_t n, std::uint32_t* out) {
    __builtin_memcpy(out, p, static_cast<std::size_t>(n) * sizeof(float));
  }
  static void pair_rows(const float* p, std::int64_t, std::int64_t rows, std::int64_t n,
                        std::uint32_t* out) {
    if (rows > 0) return to_words(p, n, out);
    for (std::int64_t i = 0; i < n; ++i) out[i] = 0;
  }
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
