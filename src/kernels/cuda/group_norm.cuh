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

/// Most threads of a block; as many blocks as fill 64 registers of each run at once.
template <typename T>
constexpr int kMostRowThreads = kLdmCudaMostChannels / kVector<T>;

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

/// A thread's first rows of a chunk, on their way while it does something else.
template <typename T>
struct RowsAhead {
  __device__ RowsAhead(const T* x, const ChunkRows& rows, const ChannelThread<T>& at, int channels)
      : next(rows.first + at.row + kRowsAhead * at.apart) {
    LDM_UNROLL
    for (int k = 0; k < kRowsAhead; ++k) {
      const int row = rows.first + at.row + k * at.apart;
      if (row < rows.end) vectors[k] = load_vector(x + static_cast<std::int64_t>(row) * channels);
    }
  }

  template <typename Visit>
  __device__ void visit(const ChunkRows& rows, const ChannelThread<T>& at,
                        const Visit& visit_row) const {
    LDM_UNROLL
    for (int k = 0; k < kRowsAhead; ++k) {
      const int row = rows.first + at.row + k * at.apart;
      if (row < rows.end) visit_row(vectors[k], row);
    }
  }

  int next;  ///< the thread's first row behind them
  Vector<T> vectors[kRowsAhead];
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
/// numbers a channel of every thread, and the sums of the groups in slices.
template <typename T>
__global__ void __launch_bounds__(kMostRowThreads<T>, 1024 / kMostRowThreads<T>)
    group_norm_moments(GroupNormArguments<T> arguments) {
  wait_for_kernels_before();
  LDM_SHARED_MEMORY(float, of_channels);  // [apart, 2, C]
  const int channels = arguments.channels, groups = arguments.groups;
  const int picture = blockIdx.y, chunk = blockIdx.x, chunks = gridDim.x;
  const ChannelThread<T> at(channels);
  const ChunkRows rows(arguments.rows, chunk, chunks);
  float shift[kVector<T>] = {}, sum[kVector<T>] = {}, square[kVector<T>] = {};
  const T* x =
      arguments.x + static_cast<std::int64_t>(picture) * arguments.rows * channels + at.channel;
  const auto count = [&](const Vector<T>& vector) {
    float values[kVector<T>];
    unpack(vector, values);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      const float value = values[i] + shift[i];
      sum[i] += value;
      square[i] += value * value;
    }
  };
  const RowsAhead<T> ahead(x, rows, at, channels);
  load_shift(arguments, picture, at.channel, shift);
  ahead.visit(rows, at, [&](const Vector<T>& vector, int) { count(vector); });
  for (int row = ahead.next; row < rows.end; row += at.apart) {
    count(load_vector(x + static_cast<std::int64_t>(row) * channels));
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
  const int width = channels / groups, sums = 2 * groups;
  float* slices = of_channels + 2 * at.apart * channels;  // [kGroupSlices, 2, groups]
  for (int job = threadIdx.x; job < kGroupSlices * sums; job += blockDim.x) {
    const int of = job % sums;
    const float* first = of_channels + of / groups * channels + of % groups * width;
    float total = 0;
    for (int i = job / sums; i < width; i += kGroupSlices) total += first[i];
    slices[job] = total;
  }
  __syncthreads();
  float* partial = arguments.partial + (static_cast<std::int64_t>(picture) * chunks + chunk) * sums;
  for (int job = threadIdx.x; job < sums; job += blockDim.x) {
    float total = 0;
    LDM_UNROLL
    for (int slice = 0; slice < kGroupSlices; ++slice) total += slices[slice * sums + job];
    partial[job] = total;
  }
}

}  // namespace ldm::cuda
