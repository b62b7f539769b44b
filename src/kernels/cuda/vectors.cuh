#pragma once

#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#include <cuda_fp8.h>
#else
#include <c10/util/Float8_e4m3fn.h>

#include <algorithm>
#endif

#include "ldm/kernels/cuda/launch.h"

// Device code of 16-byte loads and stores. Like all .cuh files here it is compiled by nvcc, and for
// a CPU behind tests/support/cuda_on_cpu.h.
#ifdef __CUDACC__
#define LDM_UNROLL _Pragma("unroll")
#else
#define LDM_UNROLL
#endif

namespace ldm::cuda {

/// What a kernel begins with: waits until those before it have ended, and lets the one after it
/// come.
__device__ inline void wait_for_kernels_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Numbers in 16 bytes.
template <typename T>
constexpr int kVector = static_cast<int>(kLdmCudaVectorBytes / sizeof(T));

template <typename T>
struct alignas(kLdmCudaVectorBytes) Vector {
  T values[kVector<T>];
};

template <typename T>
__device__ inline Vector<T> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T>*>(from);
}

template <typename T>
__device__ inline void unpack(const Vector<T>& vector, float (&to)[kVector<T>]) {
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) to[i] = static_cast<float>(vector.values[i]);
}

template <typename T>
__device__ inline void load(const T* from, float (&to)[kVector<T>]) {
  unpack(load_vector(from), to);
}

template <typename T>
__device__ inline Vector<T> pack(const float (&from)[kVector<T>]) {
  Vector<T> vector;
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) vector.values[i] = static_cast<T>(from[i]);
  return vector;
}

template <typename T>
__device__ inline void store_vector(T* to, const Vector<T>& from) {
  *reinterpret_cast<Vector<T>*>(to) = from;
}

template <typename T>
__device__ inline void store(T* to, const float (&from)[kVector<T>]) {
  store_vector(to, pack<T>(from));
}

/// A number of 4 bits of exponent and 3 of mantissa, at most 448.
struct E4m3 {
  std::uint8_t bits;
};

/// The nearest two, the even ones of ties; what is larger than the largest becomes it, NaN stays.
__device__ inline void round_to(E4m3* to, float first, float second) {
#ifdef __CUDACC__
  const __nv_fp8x2_storage_t both =
      __nv_cvt_float2_to_fp8x2(make_float2(first, second), __NV_SATFINITE, __NV_E4M3);
  to[0].bits = static_cast<std::uint8_t>(both & 0xFFU);
  to[1].bits = static_cast<std::uint8_t>(both >> 8U);
#else
  constexpr float kMost = 448;
  to[0].bits = c10::Float8_e4m3fn(std::clamp(first, -kMost, kMost)).x;
  to[1].bits = c10::Float8_e4m3fn(std::clamp(second, -kMost, kMost)).x;
#endif
}

/// Stores as many numbers as a vector of another dtype has.
template <int kCount>
__device__ inline void store(E4m3* to, const float (&from)[kCount]) {
  struct alignas(kCount) Numbers {
    E4m3 values[kCount];
  };
  Numbers numbers;
  LDM_UNROLL
  for (int i = 0; i < kCount; i += 2) round_to(numbers.values + i, from[i], from[i + 1]);
  *reinterpret_cast<Numbers*>(to) = numbers;
}

/// Adds what is at `from`.
template <typename T>
__device__ inline void add(const T* from, float (&to)[kVector<T>]) {
  float values[kVector<T>];
  load(from, values);
  LDM_UNROLL
  for (int i = 0; i < kVector<T>; ++i) to[i] += values[i];
}

/// x · sigmoid(x). Numbers of 16 bits round the fast functions' last bits away.
template <typename T>
__device__ inline float silu(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x / (1.0F + expf(-x));
  } else {
    return __fdividef(x, 1.0F + __expf(-x));
  }
}

}  // namespace ldm::cuda
