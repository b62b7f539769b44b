#pragma once

#include <cstdint>

#include "vectors.cuh"

// GroupNorm over NHWC with a shift before and SiLU behind: one kernel sums, one scales. ATen's own
// returns NCHW: two copies of the layout at every norm. Reference: at::silu(at::group_norm(x +
// shift)).
namespace ldm::cuda {

template <typename T>
struct GroupNormArguments {
  const T* x;      ///< [B, rows, C]
  const T* shift;  ///< [B, C] or null
  const T* weight;
  const T* bias;
  float* partial;  ///< [B, chunks, 2, groups]
  T* y;
  int rows, channels, groups;
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
  if (arguments.shift != nullptr) {
    load(arguments.shift + static_cast<std::int64_t>(picture) * channels + at.channel, shift);
  }
  const T* x = arguments.x + static_cast<std::int64_t>(picture) * arguments.rows * channels;
  for (int row = rows.first + at.row; row < rows.end; row += at.apart) {
    float values[kVector<T>];
    load(x + static_cast<std::int64_t>(row) * channels + at.channel, values);
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
  const int width = channels / groups;
  float* partial =
      arguments.partial + (static_cast<std::int64_t>(picture) * chunks + chunk) * 2 * groups;
  for (int job = threadIdx.x; job < 2 * groups; job += blockDim.x) {
    const int first = job / groups * channels + job % groups * width;
    float total = 0;
    for (int row = 0; row < at.apart; ++row) {
      for (int i = 0; i < width; ++i) total += of_channels[2 * row * channels + first + i];
    }
    partial[job] = total;
  }
}

/// y = silu((x + shift − mean) / deviation · weight + bias). Grid (chunks, B), as many chunks as
/// summed; shared memory: two numbers a group.
template <typename T>
__global__ void group_norm_apply(GroupNormArguments<T> arguments) {
  LDM_SHARED_MEMORY(float, of_groups);  // means, then factors
  const int channels = arguments.channels, groups = arguments.groups;
  const int picture = blockIdx.y, chunks = gridDim.x, width = channels / groups;
  const float* partial =
      arguments.partial + static_cast<std::int64_t>(picture) * chunks * 2 * groups;
  for (int group = threadIdx.x; group < groups; group += blockDim.x) {
    float sum = 0, square = 0;
    LDM_UNROLL
    for (int chunk = 0; chunk < chunks; ++chunk) {
      sum += partial[chunk * 2 * groups + group];
      square += partial[(chunk * 2 + 1) * groups + group];
    }
    const double count = static_cast<double>(width) * arguments.rows;
    const double mean = sum / count;
    const double variance = square / count - mean * mean;
    // A comparison that lets NaN through.
    const float positive = static_cast<float>(variance < 0 ? 0.0 : variance);
    of_groups[group] = static_cast<float>(mean);
    of_groups[groups + group] = 1.0F / sqrtf(positive + arguments.eps);
  }
  __syncthreads();
  const ChannelThread<T> at(channels);
  const ChunkRows rows(arguments.rows, blockIdx.x, chunks);
  float scale[kVector<T>], offset[kVector<T>], shift[kVector<T>] = {};
  load(arguments.weight + at.channel, scale);
  load(arguments.bias + at.channel, offset);
  if (arguments.shift != nullptr) {
    load(arguments.shift + static_cast<std::int64_t>(picture) * channels + at.channel, shift);
  }
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) {
    const int group = (at.channel + i) / width;
    scale[i] *= of_groups[groups + group];
    offset[i] -= (of_groups[group] - shift[i]) * scale[i];
  }
  const std::int64_t from =
      static_cast<std::int64_t>(picture) * arguments.rows * channels + at.channel;
  for (int row = rows.first + at.row; row < rows.end; row += at.apart) {
    float values[kVector<T>];
    const std::int64_t place = from + static_cast<std::int64_t>(row) * channels;
    load(arguments.x + place, values);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      const float value = values[i] * scale[i] + offset[i];
      values[i] = arguments.silu ? value / (1.0F + expf(-value)) : value;
    }
    store(arguments.y + place, values);
  }
}

}  // namespace ldm::cuda
