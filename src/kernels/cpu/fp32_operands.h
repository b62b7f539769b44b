#pragma once

// What attention_tiles.h asks of fp32 elements, whatever the vectors.

#include <cstdint>

namespace ldm::cpu {
namespace {

template <class Lanes>
struct Fp32Operands : Lanes {
  static void to_words(const float* p, std::int64_t n, std::uint32_t* out) {
    __builtin_memcpy(out, p, static_cast<std::size_t>(n) * sizeof(float));
  }
  static void pair_rows(const float* p, std::int64_t, std::int64_t rows, std::int64_t n,
                        std::uint32_t* out) {
    if (rows > 0) return to_words(p, n, out);
    for (std::int64_t i = 0; i < n; ++i) out[i] = 0;
  }
};

}  // namespace
}  // namespace ldm::cpu
