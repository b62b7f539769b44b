#pragma once

// The three transforms of Winograd's convolution; see winograd_tiles.h.

#include "winograd_layout.h"

namespace ldm::cpu {
namespace {

/// Bᵀ x of four vectors.
template <class Isa>
inline void transform_input(typename Isa::Float (&x)[kSide]) {
  const auto first = Isa::sub(x[0], x[2]), second = Isa::add(x[1], x[2]);
  const auto third = Isa::sub(x[2], x[1]), fourth = Isa::sub(x[1], x[3]);
  x[0] = first;
  x[1] = second;
  x[2] = third;
  x[3] = fourth;
}

/// Bᵀ d B of one tile, all channels; `out` is its row of the first place.
template <class Isa>
void gather_tile(const WinogradShape& shape, const typename Isa::Element* x,
                 const typename Isa::Element* zeros, std::int64_t tile, std::int64_t place_stride,
                 typename Isa::Element* out) {
  using Float = typename Isa::Float;
  const TilePlace place(shape, tile);
  const typename Isa::Element* pixels[kPlaces];
  for (std::int64_t i = 0; i < kPlaces; ++i) {
    const std::int64_t pixel = place.pixel(shape, i / kSide - 1, i % kSide - 1);
    pixels[i] = pixel < 0 ? zeros : x + pixel * shape.in;
  }
  for (std::int64_t c = 0; c < shape.in; c += Isa::kLanes) {
    Float columns[kSide][kSide];
#pragma GCC unroll 4
    for (int j = 0; j < kSide; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) {
        columns[j][i] = Isa::load_elements(pixels[i * kSide + j] + c);
      }
      transform_input<Isa>(columns[j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) {
      Float row[kSide] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i]};
      transform_input<Isa>(row);
#pragma GCC unroll 4
      for (int j = 0; j < kSide; ++j) {
        Isa::store_elements(out + (i * kSide + j) * place_stride + c, row[j]);
      }
    }
  }
}

/// Aᵀ m A of one tile and one vector of channels from `channel` on; `products` is its first place.
template <class Isa>
inline void scatter_vector(const float* products, std::int64_t product_place,
                           const std::int64_t (&pixels)[kOutputSide * kOutputSide],
                           const WinogradOutput& to, std::int64_t out, std::int64_t channel) {
  using Float = typename Isa::Float;
  using Element = typename Isa::Element;
  const auto* addend = static_cast<const Element*>(to.addend);
  Float rows[kOutputSide][kSide];
#pragma GCC unroll 4
  for (int j = 0; j < kSide; ++j) {
    Float m[kSide];
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) m[i] = Isa::load(products + (i * kSide + j) * product_place);
    rows[0][j] = Isa::add(Isa::add(m[0], m[1]), m[2]);
    rows[1][j] = Isa::sub(Isa::sub(m[1], m[2]), m[3]);
  }
  const Float bias = to.bias == nullptr ? Isa::zero() : Isa::load(to.bias + channel);
#pragma GCC unroll 2
  for (int i = 0; i < kOutputSide; ++i) {
    const auto& m = rows[i];
    const Float sums[kOutputSide] = {Isa::add(Isa::add(m[0], m[1]), m[2]),
                                     Isa::sub(Isa::sub(m[1], m[2]), m[3])};
#pragma GCC unroll 2
    for (int j = 0; j < kOutputSide; ++j) {
      const std::int64_t pixel = pixels[i * kOutputSide + j];
      if (pixel < 0) continue;
      Float value = Isa::add(sums[j], bias);
      if (addend != nullptr) {
        value = Isa::add(value, Isa::load_elements(addend + pixel * out + channel));
      }
      Isa::store_elements(static_cast<Element*>(to.y) + pixel * out + channel, value);
    }
  }
}

/// G x of three vectors.
template <class Isa>
inline void transform_weight(const typename Isa::Float (&x)[3], typename Isa::Float (&out)[kSide]) {
  const auto half = Isa::set(0.5F);
  const auto outer = Isa::add(x[0], x[2]);
  out[0] = x[0];
  out[1] = Isa::mul(half, Isa::add(outer, x[1]));
  out[2] = Isa::mul(half, Isa::sub(outer, x[1]));
  out[3] = x[2];
}

/// G g Gᵀ of one input channel and a vector of output channels, whose first tap is at `taps`.
template <class Isa>
inline void transform_filter(const typename Isa::Element* taps, std::int64_t tap,
                             typename Isa::Float (&out)[kSide][kSide]) {
  using Float = typename Isa::Float;
  Float columns[3][kSide];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const Float column[3] = {Isa::load_elements(taps + j * tap),
                             Isa::load_elements(taps + (3 + j) * tap),
                             Isa::load_elements(taps + (6 + j) * tap)};
    transform_weight<Isa>(column, columns[j]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kSide; ++i) {
    const Float row[3] = {columns[0][i], columns[1][i], columns[2][i]};
    transform_weight<Isa>(row, out[i]);
  }
}

/// [place][in / kPair][out]
template <class Isa>
void transform_column(const void* taps, std::int64_t in, std::int64_t out, std::uint32_t* words) {
  const auto* from = static_cast<const typename Isa::Element*>(taps);
  const std::int64_t depth = in / Isa::kPair;
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t c = 0; c < out; c += Isa::kLanes) {
      typename Isa::Float filters[Isa::kPair][kSide][kSide];
      for (std::int64_t p = 0; p < Isa::kPair; ++p) {
        transform_filter<Isa>(from + (k * Isa::kPair + p) * out + c, in * out, filters[p]);
      }
      for (std::int64_t place = 0; place < kPlaces; ++place) {
        typename Isa::Float pair[Isa::kPair];
        for (std::int64_t p = 0; p < Isa::kPair; ++p) {
          pair[p] = filters[p][place / kSide][place % kSide];
        }
        Isa::store_words(words + (place * depth + k) * out + c, pair);
      }
    }
  }
}

}  // namespace
}  // namespace ldm::cpu
