#include "ldm/kernels/cpu/transpose_taps.h"

#include <numeric>
#include <vector>

#include "tests/support/catch.h"

using namespace ldm;

TEST_CASE("filters' taps are transposed as their definition says") {
  const auto [out, in] = GENERATE(
      table<std::int64_t, std::int64_t>({{8, 8}, {16, 8}, {8, 24}, {32, 16}, {48, 40}, {320, 64}}));
  for (const std::int64_t bytes : {2, 4}) {
    INFO(out << " x " << in << ", " << bytes << " bytes");
    const auto size = static_cast<std::size_t>(out * in * 9 * bytes);
    std::vector<std::uint16_t> from(size / 2);
    std::iota(from.begin(), from.end(), std::uint16_t{0});
    const auto* taps = reinterpret_cast<const std::byte*>(from.data());
    std::vector<std::byte> fast(size), plain(size);
    cpu::transpose_taps(taps, out, in, bytes, fast.data());
    cpu::transpose_taps_plainly(taps, out, in, bytes, plain.data());
    CHECK((fast == plain));
  }
}

TEST_CASE("a tap goes to its own plane, its input's row, its output's column") {
  const std::vector<std::uint16_t> from = [] {
    std::vector<std::uint16_t> taps(2 * 3 * 9);
    std::iota(taps.begin(), taps.end(), std::uint16_t{0});
    return taps;
  }();
  std::vector<std::uint16_t> to(from.size());
  cpu::transpose_taps_plainly(reinterpret_cast<const std::byte*>(from.data()), 2, 3, 2,
                              reinterpret_cast<std::byte*>(to.data()));
  for (std::size_t o = 0; o < 2; ++o) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t tap = 0; tap < 9; ++tap) {
        CHECK(to[(tap * 3 + i) * 2 + o] == from[(o * 3 + i) * 9 + tap]);
      }
    }
  }
}
