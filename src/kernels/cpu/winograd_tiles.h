#pragma once

// Winograd's convolution F(2×2, 3×3) for any instruction set; see tile_product.h.
//
// A tile is 2×2 output pixels and the 4×4 input pixels that they see. With d such an input tile and
// g a 3×3 filter, its output is Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A: 16 products instead of 36. Over all
// channels, ⊙ is one matrix product [tiles, in] · [in, out] for each of the 16 places.
// Source: Lavin & Gray 2016, section 4.1.

#include "winograd_transforms.h"

namespace ldm::cpu {
namespace {

template <class Isa>
void gather(const WinogradShape& shape, const void* x, const void* zeros,
            const WinogradBlock& block, const WinogradRows& rows, void* input) {
  using Element = typename Isa::Element;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    gather_tile<Isa>(shape, static_cast<const Element*>(x), static_cast<const Element*>(zeros),
                     block.first + r, Places<Isa>::input(shape.in, block.tiles),
                     static_cast<Element*>(input) + r * shape.in);
  }
}

template <class Isa>
void multiply(const WinogradShape& shape, const void* input, const std::uint32_t* words,
              std::int64_t channel, const WinogradBlock& block, const WinogradRows& rows,
              const WinogradOutput& output, void* scratch) {
  constexpr std::int64_t kWidth = Places<Isa>::kWidth;
  const std::int64_t width = smaller(kWidth, shape.out - channel);
  const std::int64_t depth = shape.in / Isa::kPair;
  const std::int64_t count = rows.end - rows.begin;
  const std::int64_t product_place = Places<Isa>::products(count);
  auto* products = static_cast<float*>(scratch);
  const auto* from = static_cast<const typename Isa::Element*>(input) + rows.begin * shape.in;
  for (std::int64_t place = 0; place < kPlaces; ++place) {
    const auto* of_place = from + place * Places<Isa>::input(shape.in, block.tiles);
    multiply_columns<Isa>(
        {reinterpret_cast<const std::uint32_t*>(of_place), depth, words + place * width * depth,
         width, depth, products + place * product_place, kWidth, false},
        count, width / Isa::kLanes);
  }
  for (std::int64_t r = 0; r < count; ++r) {
    const TilePlace place(shape, block.first + rows.begin + r);
    const std::int64_t pixels[] = {place.pixel(shape, 0, 0), place.pixel(shape, 0, 1),
                                   place.pixel(shape, 1, 0), place.pixel(shape, 1, 1)};
    for (std::int64_t c = 0; c < width; c += Isa::kLanes) {
      scatter_vector<Isa>(products + r * kWidth + c, product_place, pixels, output, shape.out,
                          channel + c);
    }
  }
}

template <class Isa>
WinogradKernel make_winograd_kernel() {
  constexpr auto kElement = static_cast<std::int64_t>(sizeof(typename Isa::Element));
  return {Isa::kLanes,
          Places<Isa>::kWidth,
          kMostRows,
          [](std::int64_t in, std::int64_t out) { return kPlaces * (in / Isa::kPair) * out; },
          transform_column<Isa>,
          [](std::int64_t in) {
            const std::int64_t fit = kInputBytes / (kPlaces * in * kElement) / kRows * kRows;
            return fit < kFewestTiles ? kFewestTiles : smaller(fit, kMostRows);
          },
          [](std::int64_t in, std::int64_t tiles) {
            return kPlaces * Places<Isa>::input(in, tiles) * kElement;
          },
          [](std::int64_t rows) {
            return kPlaces * Places<Isa>::products(rows) * static_cast<std::int64_t>(sizeof(float));
          },
          gather<Isa>,
          multiply<Isa>};
}

}  // namespace
}  // namespace ldm::cpu
