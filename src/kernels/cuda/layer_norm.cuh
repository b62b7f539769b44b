#pragma once

#include <cstdint>

#include "ldm/kernels/cuda/blocks.h"
#include "vectors.cuh"

// LayerNorm over the last dimension, of a sum that it takes on the way.
// Reference: at::layer_norm(x + before + addend).
namespace ldm::cuda {

template <typename T>
struct LayerNormArguments {
  const T* x;       ///< [rows, D]
  const T* before;  ///< [D] or null
  const T* addend;  ///< [rows, D] or null
  T* sum;           ///< [rows, D] or null
  const T* weight;
  const T* bias;
  T* y;
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

/// A vector of x with what is added to it, rounded as where the sum is taken alone, and kept.
template <typename T>
__device__ inline Vector<T> take_sum(const LayerNormArguments<T>& arguments, const Vector<T>& x,
                                     std::int64_t start, int channel) {
  if (arguments.before == nullptr && arguments.addend == nullptr) return x;
  float values[kVector<T>];
  unpack(x, values);
  if (arguments.before != nullptr) add(arguments.before + channel, values);
  if (arguments.addend != nullptr) add(arguments.addend + start + channel, values);
  if (arguments.sum != nullptr) store(arguments.sum + start + channel, values);
  return pack<T>(values);
}

/// A row to `lanes` threads, each at most `kEach` vectors of it, read once; the mean before the
/// deviations. A warp takes every so-manieth rows, as many as all blocks have warps.
template <typename T, int kEach>
__global__ void layer_norm(LayerNormArguments<T> arguments) {
  const int channels = arguments.channels, lanes = arguments.lanes;
  const int first = static_cast<int>(threadIdx.x) % lanes * kVector<T>;
  const int at_once = kWarp / lanes;  // rows of a warp
  const std::int64_t warp =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * blockDim.x / kWarp;
  const float count = static_cast<float>(channels);
  // The whole warp goes on as long as one of its rows does: they exchange their sums.
  for (std::int64_t base = warp * at_once; base < arguments.rows; base += warps * at_once) {
    const std::int64_t row = base + static_cast<int>(threadIdx.x) % kWarp / lanes;
    const int end = row < arguments.rows ? channels : 0;
    const std::int64_t start = row * channels;
    Vector<T> own[kEach];
    float values[kVector<T>], sum = 0, square = 0;
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int c = first + k * lanes * kVector<T>;
      if (c < end) own[k] = load_vector(arguments.x + start + c);
    }
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int c = first + k * lanes * kVector<T>;
      if (c >= end) continue;
      own[k] = take_sum(arguments, own[k], start, c);
      unpack(own[k], values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) sum += values[i];
    }
    const float mean = lanes_sum(sum, lanes) / count;
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      if (first + k * lanes * kVector<T> >= end) continue;
      unpack(own[k], values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) square += (values[i] - mean) * (values[i] - mean);
    }
    const float factor = 1.0F / sqrtf(lanes_sum(square, lanes) / count + arguments.eps);
    LDM_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int c = first + k * lanes * kVector<T>;
      if (c >= end) continue;
      float weight[kVector<T>], bias[kVector<T>];
      unpack(own[k], values);
      load(arguments.weight + c, weight);
      load(arguments.bias + c, bias);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) {
        values[i] = (values[i] - mean) * factor * weight[i] + bias[i];
      }
      store(arguments.y + start + c, values);
    }
  }
}

}  // namespace ldm::cuda
