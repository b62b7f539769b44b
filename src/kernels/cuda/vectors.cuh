#pragma once

#include "ldm/kernels/cuda/launch.h"

// Device code of 16-byte loads and stores. Like all .cuh files here it is compiled by nvcc, and for
// a CPU behind tests/support/cuda_on_cpu.h.
#ifdef __CUDACC__
#define LDM_UNROLL _Pragma("unroll")
#else
#define LDM_UNROLL
#endif

namespace ldm::cuda {

/// Numbers in 16 bytes.
template <typename T>
constexpr int kVector = static_cast<int>(kLdmCudaVectorBytes / sizeof(T));

template <typename T>
struct alignas(kLdmCudaVectorBytes) Vector {
  T values[kVector<T>];
};

template <typename T>
__device__ inline void load(const T* from, float (&to)[kVector<T>]) {
  const Vector<T> vector = *reinterpret_cast<const Vector<T>*>(from);
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) to[i] = static_cast<float>(vector.values[i]);
}

template <typename T>
__device__ inline void store(T* to, const float (&from)[kVector<T>]) {
  Vector<T> vector;
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) vector.values[i] = static_cast<T>(from[i]);
  *reinterpret_cast<Vector<T>*>(to) = vector;
}

}  // namespace ldm::cuda
