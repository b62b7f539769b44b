#pragma once

#include "vectors.cuh"

// The gate of GEGLU: values times GELU of the gates, by the error function.
// Reference: value * at::gelu(gate), then ldm::fp8_of where e4m3 is asked for.
namespace ldm::cuda {

template <typename T, typename Out>
struct GateArguments {
  const T* x;     ///< [rows, 2·D]
  const T* bias;  ///< [2·D] or null
  Out* y;         ///< [rows, D]
  unsigned jobs;  ///< vectors of y
  int channels;
};

/// A vector a thread; a thread takes every so-manieth, as many as there are threads.
template <typename T, typename Out>
__global__ void gelu_gate(GateArguments<T, Out> arguments) {
  wait_for_kernels_before();
  const unsigned threads = gridDim.x * blockDim.x;
  const auto lanes = static_cast<unsigned>(arguments.channels / kVector<T>);
  for (unsigned job = blockIdx.x * blockDim.x + threadIdx.x; job < arguments.jobs; job += threads) {
    const std::int64_t row = job / lanes;
    const unsigned channel = job % lanes * kVector<T>;
    const T* x = arguments.x + row * 2 * arguments.channels + channel;
    float value[kVector<T>], gate[kVector<T>];
    load(x, value);
    load(x + arguments.channels, gate);
    if (arguments.bias != nullptr) {
      add(arguments.bias + channel, value);
      add(arguments.bias + arguments.channels + channel, gate);
    }
    LDM_UNROLL
    for (int i = 0; i < kVector<T>; ++i) {
      value[i] *= 0.5F * gate[i] * (1.0F + erff(gate[i] * 0.70710678118654752F));
    }
    store(arguments.y + row * arguments.channels + channel, value);
  }
}

}  // namespace ldm::cuda
