#pragma once

// Products of small matrices in registers, for any instruction set. Everything is in an unnamed
// namespace, and no standard header with inline functions is included, so that no code for a newer
// machine can be shared with the rest of the program.
//
// Operands are made of 32-bit words: one fp32, or two bf16 that are multiplied and added in pairs.
// `Isa` has what avx2.h and avx512.h have: Float, a vector of kLanes fp32; Element; arithmetic; and
//   kPair              elements a word
//   kColumns           vectors of a register tile's width (its height is kRows)
//   dot(acc, word, p)  acc + word · the kLanes words at p
//   store_words(p, v)  kLanes words of kPair rounded vectors

#include <cstdint>

namespace ldm::cpu {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kDepthBlock = 64;

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// out [Rows, Columns · kLanes] = or += a [Rows, depth] · b [depth, Columns · kLanes], summed in
/// registers over a part of the depth: short sums, added up in a second level, round less.
template <class Isa, int Rows, int Columns>
inline void multiply_part(const std::uint32_t* a, std::int64_t a_stride, const std::uint32_t* b,
                          std::int64_t b_stride, std::int64_t depth, float* out,
                          std::int64_t out_stride, bool accumulate) {
  typename Isa::Float sums[Rows][Columns];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) sums[r][c] = Isa::zero();
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const std::uint32_t* row = b + k * b_stride;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const std::uint32_t word = a[r * a_stride + k];
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) {
        sums[r][c] = Isa::dot(sums[r][c], word, row + c * Isa::kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) {
      float* to = out + r * out_stride + c * Isa::kLanes;
      Isa::store(to, accumulate ? Isa::add(Isa::load(to), sums[r][c]) : sums[r][c]);
    }
  }
}

struct Product {
  const std::uint32_t* a;
  std::int64_t a_stride;
  const std::uint32_t* b;
  std::int64_t b_stride;
  std::int64_t depth;
  float* out;
  std::int64_t out_stride;
  bool accumulate;
};

template <class Isa, int Columns>
void multiply_rows(const Product& p, std::int64_t rows) {
  std::int64_t r = 0;
  const auto run = [&]<int Rows>() {
    for (std::int64_t k = 0; k < p.depth; k += kDepthBlock) {
      multiply_part<Isa, Rows, Columns>(p.a + r * p.a_stride + k, p.a_stride, p.b + k * p.b_stride,
                                        p.b_stride, smaller(kDepthBlock, p.depth - k),
                                        p.out + r * p.out_stride, p.out_stride,
                                        p.accumulate || k > 0);
    }
    r += Rows;
  };
  while (rows - r >= kRows) run.template operator()<kRows>();
  if (rows - r >= 4) run.template operator()<4>();
  if (rows - r >= 2) run.template operator()<2>();
  if (rows - r >= 1) run.template operator()<1>();
}

/// The product for `columns` ≤ kColumns vectors.
template <class Isa>
void multiply_columns(const Product& p, std::int64_t rows, std::int64_t columns) {
  if constexpr (Isa::kColumns >= 4) {
    if (columns == 4) return multiply_rows<Isa, 4>(p, rows);
    if (columns == 3) return multiply_rows<Isa, 3>(p, rows);
  }
  if (columns == 2) return multiply_rows<Isa, 2>(p, rows);
  multiply_rows<Isa, 1>(p, rows);
}

}  // namespace
}  // namespace ldm::cpu
