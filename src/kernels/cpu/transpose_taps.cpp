#include "ldm/kernels/cpu/transpose_taps.h"

#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>

#include <array>
#endif

namespace ldm::cpu {
namespace {

constexpr std::int64_t kTaps = 9;

/// Where in [3·3, in] the element number `k` of [in, 3·3] goes.
std::int64_t place(std::int64_t k, std::int64_t in) { return k % kTaps * in + k / kTaps; }

#if defined(__SSE2__)

/// A square of elements that fill a register each row.
template <std::size_t kSide>
struct Rows {
  __m128i row[kSide];
};
using Rows2 = Rows<8>;  // of 2 bytes
using Rows4 = Rows<4>;  // of 4 bytes

/// Each step brings together what is 1, 2, then 4 rows apart.
Rows2 transposed(const Rows2& a) {
  Rows2 b, c, d;
  for (std::size_t i = 0; i < 4; ++i) {
    b.row[2 * i] = _mm_unpacklo_epi16(a.row[2 * i], a.row[2 * i + 1]);
    b.row[2 * i + 1] = _mm_unpackhi_epi16(a.row[2 * i], a.row[2 * i + 1]);
  }
  for (std::size_t half = 0; half < 8; half += 4) {
    c.row[half] = _mm_unpacklo_epi32(b.row[half], b.row[half + 2]);
    c.row[half + 1] = _mm_unpackhi_epi32(b.row[half], b.row[half + 2]);
    c.row[half + 2] = _mm_unpacklo_epi32(b.row[half + 1], b.row[half + 3]);
    c.row[half + 3] = _mm_unpackhi_epi32(b.row[half + 1], b.row[half + 3]);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    d.row[2 * i] = _mm_unpacklo_epi64(c.row[i], c.row[i + 4]);
    d.row[2 * i + 1] = _mm_unpackhi_epi64(c.row[i], c.row[i + 4]);
  }
  return d;
}

Rows4 transposed(const Rows4& a) {
  const __m128i low01 = _mm_unpacklo_epi32(a.row[0], a.row[1]),
                high01 = _mm_unpackhi_epi32(a.row[0], a.row[1]);
  const __m128i low23 = _mm_unpacklo_epi32(a.row[2], a.row[3]),
                high23 = _mm_unpackhi_epi32(a.row[2], a.row[3]);
  return {{_mm_unpacklo_epi64(low01, low23), _mm_unpackhi_epi64(low01, low23),
           _mm_unpacklo_epi64(high01, high23), _mm_unpackhi_epi64(high01, high23)}};
}

/// Square blocks as wide as a register.
template <std::size_t kRows>
void transpose_blocks(const std::byte* from, std::int64_t out, std::int64_t in, std::byte* to) {
  constexpr auto kSide = static_cast<std::int64_t>(kRows);
  constexpr std::int64_t kBytes = 16 / kSide;
  for (std::int64_t k = 0; k < in * kTaps; k += kSide) {
    std::array<std::byte*, kRows> lines;
    for (std::int64_t i = 0; i < kSide; ++i) {
      lines[static_cast<std::size_t>(i)] = to + place(k + i, in) * out * kBytes;
    }
    for (std::int64_t o = 0; o < out; o += kSide) {
      Rows<kRows> rows;
      for (std::int64_t i = 0; i < kSide; ++i) {
        rows.row[static_cast<std::size_t>(i)] = _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(from + ((o + i) * in * kTaps + k) * kBytes));
      }
      rows = transposed(rows);
      for (std::size_t i = 0; i < kRows; ++i) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(lines[i] + o * kBytes), rows.row[i]);
      }
    }
  }
}

#endif

}  // namespace

void transpose_taps(const std::byte* from, std::int64_t out, std::int64_t in,
                    std::int64_t element_bytes, std::byte* to) {
#if defined(__SSE2__)
  if (element_bytes == 2) return transpose_blocks<8>(from, out, in, to);
  if (element_bytes == 4) return transpose_blocks<4>(from, out, in, to);
#endif
  transpose_taps_plainly(from, out, in, element_bytes, to);
}

void transpose_taps_plainly(const std::byte* from, std::int64_t out, std::int64_t in,
                            std::int64_t element_bytes, std::byte* to) {
  const auto bytes = static_cast<std::size_t>(element_bytes);
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t k = 0; k < in * kTaps; ++k) {
      std::memcpy(to + (place(k, in) * out + o) * element_bytes,
                  from + (o * in * kTaps + k) * element_bytes, bytes);
    }
  }
}

}  // namespace ldm::cpu
