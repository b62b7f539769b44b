#pragma once

#include <cstdint>

#include "ldm/kernels/cuda/blocks.h"
#include "vectors.cuh"

// LayerNorm over the last dimension, of a sum that it takes on the way; in e4m3 where that is
// asked. Reference: at::layer_norm(x + before + addend), then ldm::fp8_of.
namespace ldm::cuda {

template <typename T, typename Out>
struct LayerNormArguments {
  const T* x;       ///< [rows, D]
  const T* before;  ///< [D] or null
  const T* addend;  ///< [rows, D] or null
  T* sum;           ///< [rows, D] or null
  const T* weight;
  const T* bias;
  Out* y;
  std::int64_t rows;
  int channels;
  int lanes;  ///< threads of a row: a power of 2, at most a warp
  float eps;
};

/// The sum over groups of `lanes` threads, the same in each.
__device__ inline float lanes_sum(float value, int lanes) {
  for (int apart = lanes / 2; apart > 0; apart /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, apart);
  return value;
}

/// The vectors of one row that a thread has: every `lanes`th from its first.
template <typename T, int kEach>
struct RowPart {
  /// Vectors beyond `end` channels are not touched.
  __device__ RowPart(int row_lanes, int end_channel)
      : lanes(row_lanes),
        first(static_cast<int>(threadIdx.x) % row_lanes * kVector<T>),
        end(end_channel) {}
  __device__ int channel(int k) const { return first + k * lanes * kVector<T>; }
  __device__ bool has(int k) const { return channel(k) < end; }

  __device__ void load_all(const T* from, Vector<T> (&to)[kEach]) const {
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      if (has(k)) to[k] = load_vector(from + channel(k));
    }
  }

  int lanes, first, end;
};

/// Adds `before` and the addend to a thread's part of a row, keeps the sum, and rounds it as where
/// it is taken alone.
template <typename T, typename Out, int kEach>
__device__ inline void take_sum(const LayerNormArguments<T, Out>& arguments,
                                const RowPart<T, kEach>& part, std::int64_t start,
                                Vector<T> (&own)[kEach]) {
  if (arguments.before == nullptr && arguments.addend == nullptr) return;
  // All loads before their first use: they wait for memory together.
  Vector<T> before[kEach] = {}, addend[kEach] = {};
  if (arguments.addend != nullptr) part.load_all(arguments.addend + start, addend);
  if (arguments.before != nullptr) part.load_all(arguments.before, before);
  LDM_UNROLL
  for (int k = 0; k < kEach; ++k) {
    float values[kVector<T>], more[kVector<T>];
    unpack(own[k], values);
    unpack(before[k], more);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) values[i] += more[i];
    unpack(addend[k], more);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) values[i] += more[i];
    own[k] = pack<T>(values);
  }
  if (arguments.sum == nullptr) return;
  // Apart: loads must not wait for stores, which might be to the same place.
  LDM_UNROLL
  for (int k = 0; k < kEach; ++k) {
    if (part.has(k)) store_vector(arguments.sum + start + part.channel(k), own[k]);
  }
}

/// A row to `lanes` threads, each at most `kEach` vectors of it, read once; the mean before the
/// deviations. A warp takes every so-manieth rows, as many as all blocks have warps.
template <typename T, typename Out, int kEach>
__global__ void layer_norm(LayerNormArguments<T, Out> arguments) {
  wait_for_kernels_before();
  const int lanes = arguments.lanes, at_once = kWarp / lanes;  // rows of a warp
  const std::int64_t warp =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * blockDim.x / kWarp;
  const float count = static_cast<float>(arguments.channels);
  // The whole warp goes on as long as one of its rows does: they exchange their sums.
  for (std::int64_t base = warp * at_once; base < arguments.rows; base += warps * at_once) {
    const std::int64_t row = base + static_cast<int>(threadIdx.x) % kWarp / lanes;
    const RowPart<T, kEach> part(lanes, row < arguments.rows ? arguments.channels : 0);
    const std::int64_t start = row * arguments.channels;
    Vector<T> own[kEach] = {};
    part.load_all(arguments.x + start, own);
    take_sum(arguments, part, start, own);
    float values[kVector<T>], factors[kVector<T>], offsets[kVector<T>], sum = 0, square = 0;
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      if (!part.has(k)) continue;
      unpack(own[k], values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) sum += values[i];
    }
    const float mean = lanes_sum(sum, lanes) / count;
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      if (!part.has(k)) continue;
      unpack(own[k], values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) square += (values[i] - mean) * (values[i] - mean);
    }
    const float factor = 1.0F / sqrtf(lanes_sum(square, lanes) / count + arguments.eps);
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      if (!part.has(k)) continue;
      unpack(own[k], values);
      load(arguments.weight + part.channel(k), factors);
      load(arguments.bias + part.channel(k), offsets);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) {
        values[i] = (values[i] - mean) * factor * factors[i] + offsets[i];
      }
      store(arguments.y + start + part.channel(k), values);
    }
  }
}

}  // namespace ldm::cuda
