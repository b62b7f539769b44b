#pragma once

#include <cstdint>

#include "group_norm.cuh"
#include "ldm/kernels/cuda/blocks.h"
#include "vectors.cuh"

// The second half of GroupNorm: from sums to the result.
namespace ldm::cuda {

/// Means and factors of a picture's groups into `of_groups` [2, groups], by all threads of the
/// block, from the chunks' sums; over chunks in fp64, which subtracts means of any size.
/// `slices` [kGroupSlices, 2, groups]: scratch.
template <typename T>
__device__ inline void fold_moments(const GroupNormArguments<T>& arguments, int picture, int chunks,
                                    double* slices, float* of_groups) {
  const int groups = arguments.groups, sums = 2 * groups;
  const float* partial = arguments.partial + static_cast<std::int64_t>(picture) * chunks * sums;
  for (int job = threadIdx.x; job < kGroupSlices * sums; job += blockDim.x) {
    double total = 0;
    LDM_UNROLL
    for (int chunk = job / sums; chunk < chunks; chunk += kGroupSlices) {
      total += static_cast<double>(partial[chunk * sums + job % sums]);
    }
    slices[job] = total;
  }
  __syncthreads();
  for (int group = threadIdx.x; group < groups; group += blockDim.x) {
    double sum = 0, square = 0;
    LDM_UNROLL
    for (int slice = 0; slice < kGroupSlices; ++slice) {
      sum += slices[slice * sums + group];
      square += slices[slice * sums + groups + group];
    }
    const double count = static_cast<double>(arguments.channels / groups) * arguments.rows;
    const double mean = sum / count;
    const double variance = square / count - mean * mean;
    // A comparison that lets NaN through.
    const float positive = static_cast<float>(variance < 0 ? 0.0 : variance);
    of_groups[group] = static_cast<float>(mean);
    of_groups[groups + group] = 1.0F / sqrtf(positive + arguments.eps);
  }
  __syncthreads();
}

/// y = silu((x + shift − mean) / deviation · weight + bias). Grid (chunks, B), as many chunks as
/// summed; shared memory: `folded_bytes`.
template <typename T>
__global__ void __launch_bounds__(kMostRowThreads<T>, 1024 / kMostRowThreads<T>)
    group_norm_apply(GroupNormArguments<T> arguments) {
  wait_for_kernels_before();
  LDM_SHARED_MEMORY(double, slices);
  const int channels = arguments.channels, groups = arguments.groups;
  const int picture = blockIdx.y, chunks = gridDim.x, width = channels / groups;
  auto* of_groups = reinterpret_cast<float*>(slices + 2 * kGroupSlices * groups);
  const ChannelThread<T> at(channels);
  const ChunkRows rows(arguments.rows, blockIdx.x, chunks);
  const std::int64_t from =
      static_cast<std::int64_t>(picture) * arguments.rows * channels + at.channel;
  const RowsAhead<T> ahead(arguments.x + from, rows, at, channels);
  const Vector<T> weight = load_vector(arguments.weight + at.channel);
  const Vector<T> bias = load_vector(arguments.bias + at.channel);
  fold_moments(arguments, picture, chunks, slices, of_groups);
  float scale[kVector<T>], offset[kVector<T>], shift[kVector<T>] = {};
  load_shift(arguments, picture, at.channel, shift);
  unpack(weight, scale);
  unpack(bias, offset);
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) {
    const int group = (at.channel + i) / width;
    scale[i] *= of_groups[groups + group];
    offset[i] -= (of_groups[group] - shift[i]) * scale[i];
  }
  const auto apply = [&](const Vector<T>& vector, int row) {
    float values[kVector<T>];
    unpack(vector, values);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      const float value = values[i] * scale[i] + offset[i];
      values[i] = arguments.silu ? silu<T>(value) : value;
    }
    store(arguments.y + from + static_cast<std::int64_t>(row) * channels, values);
  };
  ahead.visit(rows, at, apply);
  for (int row = ahead.next; row < rows.end; row += at.apart) {
    apply(load_vector(arguments.x + from + static_cast<std::int64_t>(row) * channels), row);
  }
}

}  // namespace ldm::cuda
