#pragma once

#include <cstdint>

#include "vectors.cuh"

// The gate of GEGLU: values times GELU of the gates, by the error function.
// Reference: value * at::gelu(gate).
namespace ldm::cuda {

template <typename T>
struct GateArguments {
  const T* x;  ///< [rows, 2·D]
  T* y;        ///< [rows, D]
  std::int64_t rows;
  int channels;
};

/// A vector a thread; a thread takes every so-manieth, as many as there are threads.
template <typename T>
__global__ void gelu_gate(GateArguments<T> arguments) {
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t lanes = arguments.channels / kVector<T>;
  for (std::int64_t job = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       job < arguments.rows * lanes; job += threads) {
    const std::int64_t row = job / lanes, channel = job % lanes * kVector<T>;
    const T* x = arguments.x + row * 2 * arguments.channels + channel;
    float value[kVector<T>], gate[kVector<T>];
    load(x, value);
    load(x + arguments.channels, gate);
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      value[i] *= 0.5F * gate[i] * (1.0F + erff(gate[i] * 0.70710678118654752F));
    }
    store(arguments.y + row * arguments.channels + channel, value);
  }
}

}  // namespace ldm::cuda
