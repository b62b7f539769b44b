#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

// How the CUDA kernels' work is cut into blocks of threads: for whoever launches them, and for
// whoever allocates what they need.
namespace ldm::cuda {

/// Threads of a block where nothing else decides.
constexpr std::int64_t kThreads = 256;
constexpr int kWarp = 32;

/// Parts in which a block folds a GroupNorm's sums, and rows that a thread reads meanwhile.
constexpr int kGroupSlices = 8;
constexpr int kRowsAhead = 4;

/// A GroupNorm over [B, rows, C]: a block has `row_lanes` rows of threads, each thread 16 bytes of
/// a row's channels; the rows of a picture are cut into `chunks` blocks. Independent of B, so that
/// no picture depends on its company, and of the device.
struct GroupNormBlocks {
  GroupNormBlocks(std::int64_t rows, std::int64_t channels, std::int64_t vector)
      : lanes(channels / vector),
        row_lanes(std::max<std::int64_t>(1, kRowThreads / lanes)),
        chunks(std::clamp<std::int64_t>(rows / (row_lanes * kRowsAhead), 1, kMostChunks)) {}

  std::int64_t threads() const { return lanes * row_lanes; }

  /// Of the kernel that sums: two sums of every channel that a thread has, and of every group's
  /// slices.
  std::int64_t moments_bytes(std::int64_t vector, std::int64_t groups) const {
    return 2 * (threads() * vector + kGroupSlices * groups) *
           static_cast<std::int64_t>(sizeof(float));
  }

  /// Of the kernel that scales: the folded sums, and two numbers a group.
  static std::int64_t folded_bytes(std::int64_t groups) {
    return 2 * groups * static_cast<std::int64_t>(kGroupSlices * sizeof(double) + sizeof(float));
  }

  static constexpr std::int64_t kRowThreads = 512;
  static constexpr std::int64_t kMostChunks = 128;

  std::int64_t lanes, row_lanes, chunks;
};

/// Numbers of scratch that a GroupNorm needs: two sums of every group in every chunk.
inline std::int64_t partial_moments(const GroupNormBlocks& blocks, std::int64_t pictures,
                                    std::int64_t groups) {
  return 2 * pictures * blocks.chunks * groups;
}

/// Most groups of a GroupNorm: their sums share a block's memory.
constexpr std::int64_t kMostGroups = 128;

/// Blocks of `kThreads` threads over so many jobs of one thread; threads take several beyond a full
/// device.
inline std::int64_t blocks_for(std::int64_t jobs) {
  constexpr std::int64_t kMostBlocks = 8192;
  return std::clamp<std::int64_t>((jobs + kThreads - 1) / kThreads, 1, kMostBlocks);
}

/// Most vectors that a thread holds of a LayerNorm's row, in the kernels that there are.
constexpr std::array<std::int64_t, 2> kRowVectors = {5, 10};
constexpr std::int64_t kMostRowVectors = kRowVectors.back() * kWarp;

/// How a LayerNorm's row of at most `kMostRowVectors` vectors is cut: as few threads of a warp as
/// hold it in the smallest of the kernels.
struct LayerNormBlocks {
  explicit LayerNormBlocks(std::int64_t vectors)
      : each(vectors <= kRowVectors.front() * kWarp ? kRowVectors.front() : kRowVectors.back()) {
    while (vectors > each * lanes) lanes *= 2;
  }

  std::int64_t lanes = 8, each;
};

}  // namespace ldm::cuda
