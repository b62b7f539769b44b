#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <cstdio>

#include "ldm/core/cuda_plugin.h"

namespace {

int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int runtime_version() { return CUDART_VERSION; }

int device_count() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  return error == cudaSuccess ? count : -static_cast<int>(error);
}

const char* error_text(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

void device_name(int device, char* out, std::size_t size) {
  cudaDeviceProp properties{};
  const bool known = cudaGetDeviceProperties(&properties, device) == cudaSuccess;
  std::snprintf(out, size, "%s", known ? properties.name : "unknown");
}

void device_memory(int device, std::uint64_t* free, std::uint64_t* total) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) free_bytes = total_bytes = 0;
  *free = free_bytes;
  *total = total_bytes;
}

std::uint64_t peak_allocated(int device) {
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  return static_cast<std::uint64_t>(stats.reserved_bytes[kAll].peak);
}

void synchronize(int device) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  cudaDeviceSynchronize();
}

void empty_cache() { c10::cuda::CUDACachingAllocator::emptyCache(); }

constexpr LdmCudaApi kApi = {
    kLdmCudaAbi, driver_version, runtime_version, device_count, error_text,
    device_name, device_memory,  peak_allocated,  synchronize,  empty_cache,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LdmCudaApi* ldm_cuda_api() { return &kApi; }
