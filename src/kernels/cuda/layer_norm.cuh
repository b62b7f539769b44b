#pragma once

#include <cstdint>

#include "ldm/kernels/cuda/blocks.h"
#include "vectors.cuh"

// LayerNorm over the last dimension. Reference: at::layer_norm.
namespace ldm::cuda {

template <typename T>
struct LayerNormArguments {
  const T* x;  ///< [rows, D]
  const T* weight;
  const T* bias;
  T* y;
  std::int64_t rows;
  int channels;
  float eps;
};

/// The sum over the threads of a warp, the same in each.
__device__ inline float warp_sum(float value) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, apart);
  return value;
}

/// A warp a row, the mean before the deviations; what is read again comes from the cache. A warp
/// takes every so-manieth row, as many as all blocks have warps.
template <typename T>
__global__ void layer_norm(LayerNormArguments<T> arguments) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp * kVector<T>;
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * blockDim.x / kWarp;
  const int channels = arguments.channels;
  const float count = static_cast<float>(channels);
  for (std::int64_t row =
           (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
       row < arguments.rows; row += warps) {
    const T* x = arguments.x + row * channels;
    float values[kVector<T>], sum = 0, square = 0;
    for (int c = lane; c < channels; c += kWarp * kVector<T>) {
      load(x + c, values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) sum += values[i];
    }
    const float mean = warp_sum(sum) / count;
    for (int c = lane; c < channels; c += kWarp * kVector<T>) {
      load(x + c, values);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) square += (values[i] - mean) * (values[i] - mean);
    }
    const float factor = 1.0F / sqrtf(warp_sum(square) / count + arguments.eps);
    for (int c = lane; c < channels; c += kWarp * kVector<T>) {
      float weight[kVector<T>], bias[kVector<T>];
      load(x + c, values);
      load(arguments.weight + c, weight);
      load(arguments.bias + c, bias);
      LDM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) {
        values[i] = (values[i] - mean) * factor * weight[i] + bias[i];
      }
      store(arguments.y + row * channels + c, values);
    }
  }
}

}  // namespace ldm::cuda
