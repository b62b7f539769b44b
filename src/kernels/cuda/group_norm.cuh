#pragma once

#include <cstdint>

#include "ldm/kernels/cuda/blocks.h"
#include "vectors.cuh"

// GroupNorm over NHWC with shifts before and SiLU behind: one kernel sums, the one of
// group_norm_apply.cuh scales. ATen's own returns NCHW: two copies of the layout at every norm.
// Reference: at::silu(at::group_norm(x + before + shift)).
namespace ldm::cuda {

template <typename T>
struct GroupNormArguments {
  const T* x;       ///< [B, rows, C]
  const T* before;  ///< [C] or null
  const T* shift;   ///< [shift_rows, C], over and over, or null
  const T* weight;
  const T* bias;
  float* partial;  ///< [B, chunks, 2, groups]
  T* y;
  std::int64_t shift_stride;
  int shift_rows, rows, channels, groups;
  float eps;
  bool silu;
};

/// Rows [first, end) of a picture that belong to block `chunk` of `chunks`.
struct ChunkRows {
  __device__ ChunkRows(int rows, int chunk, int chunks)
      : first(static_cast<int>(static_cast<std::int64_t>(rows) * chunk / chunks)),
        end(static_cast<int>(static_cast<std::int64_t>(rows) * (chunk + 1) / chunks)) {}
  int first, end;
};

/// Where a thread works: a vector of channels, every `apart`th row from `row`.
template <typename T>
struct ChannelThread {
  __device__ explicit ChannelThread(int channels) {
    const int lanes = channels / kVector<T>;
    channel = static_cast<int>(threadIdx.x) % lanes * kVector<T>;
    row = static_cast<int>(threadIdx.x) / lanes;
    apart = static_cast<int>(blockDim.x) / lanes;
  }
  int channel, row, apart;
};

/// What is added to x in a picture, of a thread's channels.
template <typename T>
__device__ inline void load_shift(const GroupNormArguments<T>& arguments, int picture, int channel,
                                  float (&to)[kVector<T>]) {
  if (arguments.before != nullptr) add(arguments.before + channel, to);
  if (arguments.shift != nullptr) {
    add(arguments.shift + picture % arguments.shift_rows * arguments.shift_stride + channel, to);
  }
}

/// Sums and sums of squares of every group in one chunk. Grid (chunks, B); shared memory: two
/// numbers a channel of every thread.
template <typename T>
__global__ void group_norm_moments(GroupNormArguments<T> arguments) {
  LDM_SHARED_MEMORY(float, of_channels);  // [apart, 2, C]
  const int channels = arguments.channels, groups = arguments.groups;
  const int picture = blockIdx.y, chunk = blockIdx.x, chunks = gridDim.x;
  const ChannelThread<T> at(channels);
  const ChunkRows rows(arguments.rows, chunk, chunks);
  float shift[kVector<T>] = {}, sum[kVector<T>] = {}, square[kVector<T>] = {};
  load_shift(arguments, picture, at.channel, shift);
  const T* x =
      arguments.x + static_cast<std::int64_t>(picture) * arguments.rows * channels + at.channel;
  for (int row = rows.first + at.row; row < rows.end; row += at.apart) {
    float values[kVector<T>];
    load(x + static_cast<std::int64_t>(row) * channels, values);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      const float value = values[i] + shift[i];
      sum[i] += value;
      square[i] += value * value;
    }
  }
  float* own = of_channels + 2 * at.row * channels + at.channel;
  for (int i = 0; i < kVector<T>; ++i) {
    own[i] = sum[i];
    own[channels + i] = square[i];
  }
  __syncthreads();
  // Over the rows of threads first, every channel by a thread of its own.
  for (int job = threadIdx.x; job < 2 * channels; job += blockDim.x) {
    float total = of_channels[job];
    for (int row = 1; row < at.apart; ++row) total += of_channels[2 * row * channels + job];
    of_channels[job] = total;
  }
  __syncthreads();
  const int width = channels / groups;
  float* partial =
      arguments.partial + (static_cast<std::int64_t>(picture) * chunks + chunk) * 2 * groups;
  for (int job = threadIdx.x; job < 2 * groups; job += blockDim.x) {
    const float* first = of_channels + job / groups * channels + job % groups * width;
    float total = 0;
    for (int i = 0; i < width; ++i) total += first[i];
    partial[job] = total;
  }
}

}  // namespace ldm::cuda
