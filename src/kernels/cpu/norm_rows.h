#pragma once

// Normalisations over rows of channels for any instruction set; see attention_tiles.h.

#include <cstdint>

#include "ldm/kernels/cpu/norm_kernel.h"

namespace ldm::cpu {
namespace {

constexpr float kLog2E = 1.44269504088896341F;
constexpr std::int64_t kVectors = 4;      ///< of channels that are summed in registers together
constexpr std::int64_t kRowsSummed = 32;  ///< at a time: sums of sums round less

/// x / (1 + e^-x)
template <class Isa>
inline typename Isa::Float silu(typename Isa::Float x) {
  // Past e^-86 the divisor would overflow; the quotient is 0 to fp32 there.
  const auto exponent = Isa::min(Isa::mul(x, Isa::set(-kLog2E)), Isa::set(124.0F));
  return Isa::mul(x, Isa::reciprocal(Isa::add(Isa::exp2(exponent), Isa::set(1.0F))));
}

template <class Isa, int Vectors>
inline void moments_of(const typename Isa::Element* x, const float* add, std::int64_t rows,
                       std::int64_t channels, float* sums, float* squares) {
  typename Isa::Float sum[Vectors], square[Vectors], shift[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    Isa::store(sums + v * Isa::kLanes, Isa::zero());
    Isa::store(squares + v * Isa::kLanes, Isa::zero());
    shift[v] = add == nullptr ? Isa::zero() : Isa::load(add + v * Isa::kLanes);
  }
  for (std::int64_t first = 0; first < rows; first += kRowsSummed) {
    const std::int64_t end = first + kRowsSummed < rows ? first + kRowsSummed : rows;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[v] = square[v] = Isa::zero();
    for (std::int64_t r = first; r < end; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const auto value =
            Isa::add(Isa::load_elements(x + r * channels + v * Isa::kLanes), shift[v]);
        sum[v] = Isa::add(sum[v], value);
        square[v] = Isa::fma(value, value, square[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const std::int64_t c = v * Isa::kLanes;
      Isa::store(sums + c, Isa::add(Isa::load(sums + c), sum[v]));
      Isa::store(squares + c, Isa::add(Isa::load(squares + c), square[v]));
    }
  }
}

template <class Isa>
void moments(const void* data, const float* add, std::int64_t rows, std::int64_t channels,
             float* sums, float* squares) {
  const auto* x = static_cast<const typename Isa::Element*>(data);
  std::int64_t c = 0;
  const auto run = [&]<int Vectors>() {
    moments_of<Isa, Vectors>(x + c, add == nullptr ? nullptr : add + c, rows, channels, sums + c,
                             squares + c);
    c += Vectors * Isa::kLanes;
  };
  while (channels - c >= kVectors * Isa::kLanes) run.template operator()<kVectors>();
  while (c < channels) run.template operator()<1>();
}

template <class Isa, bool Silu>
void scale_rows(const typename Isa::Element* x, const float* scale, const float* shift,
                std::int64_t rows, std::int64_t channels, typename Isa::Element* y) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < channels; c += Isa::kLanes) {
      const std::int64_t at = r * channels + c;
      auto value = Isa::fma(Isa::load_elements(x + at), Isa::load(scale + c), Isa::load(shift + c));
      if constexpr (Silu) value = silu<Isa>(value);
      Isa::store_elements(y + at, value);
    }
  }
}

template <class Isa>
void scale_and_shift(const void* x, const float* scale, const float* shift, std::int64_t rows,
                     std::int64_t channels, bool with_silu, void* y) {
  using Element = typename Isa::Element;
  const auto* from = static_cast<const Element*>(x);
  auto* to = static_cast<Element*>(y);
  if (with_silu) {
    scale_rows<Isa, true>(from, scale, shift, rows, channels, to);
  } else {
    scale_rows<Isa, false>(from, scale, shift, rows, channels, to);
  }
}

template <class Isa>
void layer_norm(const void* data, const float* weight, const float* bias, float eps,
                std::int64_t rows, std::int64_t channels, void* out) {
  using Element = typename Isa::Element;
  using Float = typename Isa::Float;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto* x = static_cast<const Element*>(data) + r * channels;
    auto* y = static_cast<Element*>(out) + r * channels;
    Float sum = Isa::zero();
    for (std::int64_t c = 0; c < channels; c += Isa::kLanes) {
      sum = Isa::add(sum, Isa::load_elements(x + c));
    }
    const float count = static_cast<float>(channels);
    const Float mean = Isa::set(Isa::sum_lanes(sum) / count);
    Float square = Isa::zero();
    for (std::int64_t c = 0; c < channels; c += Isa::kLanes) {
      const Float distance = Isa::sub(Isa::load_elements(x + c), mean);
      square = Isa::fma(distance, distance, square);
    }
    const Float factor = Isa::set(1.0F / __builtin_sqrtf(Isa::sum_lanes(square) / count + eps));
    for (std::int64_t c = 0; c < channels; c += Isa::kLanes) {
      const Float normal = Isa::mul(Isa::sub(Isa::load_elements(x + c), mean), factor);
      Isa::store_elements(y + c, Isa::fma(normal, Isa::load(weight + c), Isa::load(bias + c)));
    }
  }
}

template <class Isa>
NormKernel make_norm_kernel() {
  return {Isa::kLanes, moments<Isa>, scale_and_shift<Isa>, layer_norm<Isa>};
}

}  // namespace
}  // namespace ldm::cpu
