#pragma once

// Where the attention of one row block keeps what; see attention_tiles.h.

#include <cstdint>

#include "ldm/kernels/cpu/attention_kernel.h"

namespace ldm::cpu {
namespace {

constexpr std::int64_t kRowBlock = 48;
constexpr std::int64_t kKeyBlock = 256;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

template <class Isa>
struct Layout {
  static constexpr std::int64_t kWidth = Isa::kColumns * Isa::kLanes;  ///< of a tile, in words

  explicit Layout(const AttentionShape& shape)
      : depth((shape.dim + Isa::kPair - 1) / Isa::kPair),
        keys(round_up(shape.keys, Isa::kLanes)),
        value_width(round_up(shape.dim, Isa::kLanes)) {}

  /// Keys: [tile of kWidth keys][depth][keys of the tile]. Values: [keys / kPair][value_width].
  std::int64_t key_words() const { return depth * keys; }
  std::int64_t value_words() const { return keys / Isa::kPair * value_width; }

  std::int64_t depth;        ///< words of a query or key
  std::int64_t keys;         ///< number of keys, filled up to whole vectors
  std::int64_t value_width;  ///< words of a pair of values, filled up to whole vectors
};

/// What a thread computes a row block in.
template <class Isa>
struct Scratch {
  Scratch(void* memory, const Layout<Isa>& layout)
      : scores(static_cast<float*>(memory)),
        output(scores + kRowBlock * kKeyBlock),
        maxima(output + kRowBlock * layout.value_width),
        sums(maxima + kRowBlock),
        query(reinterpret_cast<std::uint32_t*>(sums + kRowBlock)),
        weights(query + round_up(kRowBlock * layout.depth, Isa::kLanes)) {}

  static std::int64_t bytes(const Layout<Isa>& layout) {
    const std::int64_t words = kRowBlock * (2 * kKeyBlock + layout.value_width + 2) +
                               round_up(kRowBlock * layout.depth, Isa::kLanes);
    return 4 * words;
  }

  float* scores;           ///< [kRowBlock, kKeyBlock]
  float* output;           ///< [kRowBlock, value_width], not yet divided by `sums`
  float* maxima;           ///< [kRowBlock], of the scores so far, scaled
  float* sums;             ///< [kRowBlock], of the weights so far
  std::uint32_t* query;    ///< [kRowBlock, depth]
  std::uint32_t* weights;  ///< [kRowBlock, kKeyBlock / kPair]
};

}  // namespace
}  // namespace ldm::cpu
