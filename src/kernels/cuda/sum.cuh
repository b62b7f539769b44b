#pragma once

#include "vectors.cuh"

// What follows a matrix product or a convolution: its bias and what is added to it, in one pass.
// Reference: x + bias + addend.
namespace ldm::cuda {

template <typename T>
struct SumArguments {
  T* x;             ///< [rows, D], in place
  const T* bias;    ///< [D] or null
  const T* addend;  ///< [rows, D] or null
  unsigned jobs;    ///< vectors of x
  unsigned lanes;   ///< vectors of a row
};

/// A vector a thread; a thread takes every so-manieth, as many as there are threads.
template <typename T>
__global__ void sum(SumArguments<T> arguments) {
  wait_for_kernels_before();
  const unsigned threads = gridDim.x * blockDim.x;
  for (unsigned job = blockIdx.x * blockDim.x + threadIdx.x; job < arguments.jobs; job += threads) {
    const std::int64_t place = static_cast<std::int64_t>(job) * kVector<T>;
    float values[kVector<T>];
    load(arguments.x + place, values);
    if (arguments.bias != nullptr) add(arguments.bias + job % arguments.lanes * kVector<T>, values);
    if (arguments.addend != nullptr) add(arguments.addend + place, values);
    store(arguments.x + place, values);
  }
}

}  // namespace ldm::cuda
