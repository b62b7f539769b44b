#pragma once

// The attention of one row block for any instruction set. `Isa` is as in tile_product.h, with
//   to_words(p, n, out) n elements as words, the last one filled up with 0
//   pair_rows(p, stride, rows, n, out)  n words of kPair rows, absent ones 0
//   store_weights(words, i, v)  weights i … of a row as elements
//   store_row(out, x, factor, n)  n values x · factor as elements

#include "attention_layout.h"
#include "tile_product.h"

namespace ldm::cpu {
namespace {

constexpr float kLog2E = 1.44269504088896341F;
// Below every score; finite, so that its distance to a score is a number.
constexpr float kLeast = -1e37F;

/// One row of a block: scores become weights, relative to the largest score so far.
template <class Isa>
inline void soften_row(const Scratch<Isa>& scratch, std::int64_t row, std::int64_t keys,
                       std::int64_t filled, float scale, std::int64_t value_width) {
  using Float = typename Isa::Float;
  float* scores = scratch.scores + row * kKeyBlock;
  for (std::int64_t i = keys; i < filled; ++i) scores[i] = kLeast;
  Float most = Isa::load(scores);
  for (std::int64_t i = Isa::kLanes; i < filled; i += Isa::kLanes) {
    most = Isa::max(most, Isa::load(scores + i));
  }
  const float before = scratch.maxima[row];
  const float here = Isa::max_lanes(most) * scale;
  const float now = here > before ? here : before;
  const Float factor = Isa::set(scale);
  const Float shift = Isa::set(-now);
  Float sum = Isa::zero();
  std::uint32_t* weights = scratch.weights + row * (kKeyBlock / Isa::kPair);
  for (std::int64_t i = 0; i < filled; i += Isa::kLanes) {
    const Float weight = Isa::exp2(Isa::fma(Isa::load(scores + i), factor, shift));
    sum = Isa::add(sum, weight);
    Isa::store_weights(weights, i, weight);
  }
  scratch.maxima[row] = now;
  const Float fade = Isa::exp2(Isa::set(before - now));
  scratch.sums[row] = scratch.sums[row] * Isa::first(fade) + Isa::sum_lanes(sum);
  if (before == now) return;
  float* output = scratch.output + row * value_width;
  for (std::int64_t i = 0; i < value_width; i += Isa::kLanes) {
    Isa::store(output + i, Isa::mul(Isa::load(output + i), fade));
  }
}

template <class Isa>
void attend_block(const AttentionShape& shape, const HeadMatrix& query, const std::uint32_t* words,
                  const HeadMatrix& output, std::int64_t head, std::int64_t block, void* memory) {
  using Element = typename Isa::Element;
  const Layout<Isa> layout(shape);
  const Scratch<Isa> scratch(memory, layout);
  const std::int64_t b = head / shape.heads;
  const std::int64_t h = head % shape.heads;
  const std::int64_t first = block * kRowBlock;
  const std::int64_t rows = smaller(kRowBlock, shape.queries - first);
  const auto* from = static_cast<const Element*>(query.data) + b * query.batch_stride +
                     h * query.head_stride + first * query.row_stride;
  for (std::int64_t r = 0; r < rows; ++r) {
    Isa::to_words(from + r * query.row_stride, shape.dim, scratch.query + r * layout.depth);
    scratch.maxima[r] = kLeast;
    scratch.sums[r] = 0;
  }
  for (std::int64_t i = 0; i < rows * layout.value_width; i += Isa::kLanes) {
    Isa::store(scratch.output + i, Isa::zero());
  }
  const float scale = kLog2E / __builtin_sqrtf(static_cast<float>(shape.dim));
  const std::uint32_t* values = words + layout.key_words();
  for (std::int64_t key = 0; key < layout.keys; key += kKeyBlock) {
    const std::int64_t filled = smaller(kKeyBlock, layout.keys - key);
    for (std::int64_t at = 0; at < filled; at += Layout<Isa>::kWidth) {
      const std::int64_t width = smaller(Layout<Isa>::kWidth, filled - at);
      const Product scores{scratch.query, layout.depth, words + (key + at) * layout.depth,
                           width,         layout.depth, scratch.scores + at,
                           kKeyBlock,     false};
      multiply_columns<Isa>(scores, rows, width / Isa::kLanes);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      soften_row<Isa>(scratch, r, smaller(filled, shape.keys - key), filled, scale,
                      layout.value_width);
    }
    const std::uint32_t* here = values + key / Isa::kPair * layout.value_width;
    for (std::int64_t at = 0; at < layout.value_width; at += Layout<Isa>::kWidth) {
      const std::int64_t width = smaller(Layout<Isa>::kWidth, layout.value_width - at);
      const Product mixed{
          scratch.weights,     kKeyBlock / Isa::kPair, here + at,          layout.value_width,
          filled / Isa::kPair, scratch.output + at,    layout.value_width, true};
      multiply_columns<Isa>(mixed, rows, width / Isa::kLanes);
    }
  }
  auto* to = static_cast<Element*>(const_cast<void*>(output.data)) + b * output.batch_stride +
             h * output.head_stride + first * output.row_stride;
  for (std::int64_t r = 0; r < rows; ++r) {
    Isa::store_row(to + r * output.row_stride, scratch.output + r * layout.value_width,
                   1.0F / scratch.sums[r], shape.dim);
  }
}

template <class Isa>
void pack_head(const AttentionShape& shape, const HeadMatrix& key, const HeadMatrix& value,
               std::int64_t head, std::uint32_t* words) {
  using Element = typename Isa::Element;
  const Layout<Isa> layout(shape);
  const std::int64_t b = head / shape.heads;
  const std::int64_t h = head % shape.heads;
  const auto matrix = [&](const HeadMatrix& m) {
    return static_cast<const Element*>(m.data) + b * m.batch_stride + h * m.head_stride;
  };
  const Element* keys = matrix(key);
  std::uint32_t row[kMostDim];
  for (std::int64_t n = 0; n < layout.keys; ++n) {
    if (n < shape.keys) Isa::to_words(keys + n * key.row_stride, shape.dim, row);
    const std::int64_t first = n / Layout<Isa>::kWidth * Layout<Isa>::kWidth;
    const std::int64_t width = smaller(Layout<Isa>::kWidth, layout.keys - first);
    std::uint32_t* tile = words + first * layout.depth + (n - first);
    for (std::int64_t d = 0; d < layout.depth; ++d) tile[d * width] = n < shape.keys ? row[d] : 0;
  }
  const Element* values = matrix(value);
  std::uint32_t* out = words + layout.key_words();
  for (std::int64_t n = 0; n < layout.keys; n += Isa::kPair) {
    Isa::pair_rows(values + n * value.row_stride, value.row_stride, shape.keys - n, shape.dim, out);
    for (std::int64_t d = shape.dim; d < layout.value_width; ++d) out[d] = 0;
    out += layout.value_width;
  }
}

template <class Isa>
AttentionKernel make_kernel() {
  return {[](const AttentionShape& shape) {
            const Layout<Isa> layout(shape);
            return layout.key_words() + layout.value_words();
          },
          pack_head<Isa>,
          [](const AttentionShape& shape) { return Scratch<Isa>::bytes(Layout<Isa>(shape)); },
          [](const AttentionShape& shape) { return (shape.queries + kRowBlock - 1) / kRowBlock; },
          attend_block<Isa>};
}

}  // namespace
}  // namespace ldm::cpu
