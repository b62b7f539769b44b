#pragma once

// The sizes of Winograd's convolution, and where it keeps what; see winograd_tiles.h.

#include "ldm/kernels/cpu/winograd_kernel.h"
#include "tile_product.h"

namespace ldm::cpu {
namespace {

constexpr std::int64_t kSide = 4;
constexpr std::int64_t kPlaces = kSide * kSide;
constexpr std::int64_t kOutputSide = 2;
constexpr std::int64_t kMostRows = 96;
constexpr std::int64_t kFewestTiles = 24;
/// Of a block's transformed input: it is read at a byte a cycle, so the third-level cache will do.
constexpr std::int64_t kInputBytes = 2 << 20;
/// Between the places, so that the same element of each is not in the same set of the cache.
constexpr std::int64_t kApart = 64;

constexpr std::int64_t divide_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

template <class Isa>
struct Places {
  using Element = typename Isa::Element;
  static constexpr std::int64_t kWidth = Isa::kColumns * Isa::kLanes;

  /// Elements from one place's [tiles, in] to the next.
  static constexpr std::int64_t input(std::int64_t in, std::int64_t tiles) {
    return tiles * in + kApart / static_cast<std::int64_t>(sizeof(Element));
  }
  /// Numbers from one place's [rows, kWidth] to the next.
  static constexpr std::int64_t products(std::int64_t rows) {
    return rows * kWidth + kApart / static_cast<std::int64_t>(sizeof(float));
  }
};

/// Where a tile begins.
struct TilePlace {
  TilePlace(const WinogradShape& shape, std::int64_t tile) {
    const std::int64_t across = divide_up(shape.width, kOutputSide);
    const std::int64_t down = divide_up(shape.height, kOutputSide);
    picture = tile / (across * down);
    row = tile / across % down * kOutputSide;
    column = tile % across * kOutputSide;
  }
  /// The pixel's number in all pictures, or -1 outside of the tile's.
  std::int64_t pixel(const WinogradShape& shape, std::int64_t y, std::int64_t x) const {
    if (row + y < 0 || row + y >= shape.height) return -1;
    if (column + x < 0 || column + x >= shape.width) return -1;
    return (picture * shape.height + row + y) * shape.width + column + x;
  }

  std::int64_t picture, row, column;
};

}  // namespace
}  // namespace ldm::cpu
