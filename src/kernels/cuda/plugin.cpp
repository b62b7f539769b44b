#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <memory>

#include "ldm/core/cuda_plugin.h"
#include "ldm/kernels/cuda/launch.h"

#ifdef LDM_CUDA_KERNELS
namespace ldm::cuda {
extern const LdmCudaKernels kKernels;
}
#endif

namespace {

#ifdef LDM_CUDA_KERNELS
constexpr const LdmCudaKernels* kKernels = &ldm::cuda::kKernels;
#else
constexpr const LdmCudaKernels* kKernels = nullptr;
#endif

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

int device_capability(int device) {
  int major = 0, minor = 0;
  const bool known =
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess;
  return known ? 10 * major + minor : 0;
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
  // Before its first block the allocator knows no device.
  if (!c10::cuda::CUDACachingAllocator::get()->initialized()) return 0;
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  return static_cast<std::uint64_t>(stats.reserved_bytes[kAll].peak);
}

void empty_cache() { c10::cuda::CUDACachingAllocator::emptyCache(); }

/// Makes `second` wait for what is on `first` now.
void wait_for(const c10::cuda::CUDAStream& first, const c10::cuda::CUDAStream& second) {
  at::cuda::CUDAEvent event;
  event.record(first);
  event.block(second);
}

void* graph_record(int device, void (*run)(void* context), void* context) {
  const auto index = static_cast<c10::DeviceIndex>(device);
  const c10::cuda::CUDAGuard on_device(index);
  const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(index);
  // The default stream cannot be recorded.
  const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(false, index);
  wait_for(before, side);
  auto graph = std::make_unique<at::cuda::CUDAGraph>();
  {
    const c10::cuda::CUDAStreamGuard on_side(side);
    run(context);  // Libraries make their workspaces and plans for this stream.
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      run(context);
    } catch (...) {
      // Otherwise the stream would stay in recording.
      try {
        graph->capture_end();
      } catch (const c10::Error&) {  // NOLINT(bugprone-empty-catch): the first error tells why.
      }
      throw;
    }
    graph->capture_end();
  }
  wait_for(side, before);
  return graph.release();
}

void graph_replay(void* graph) { static_cast<at::cuda::CUDAGraph*>(graph)->replay(); }

void graph_delete(void* graph) { delete static_cast<at::cuda::CUDAGraph*>(graph); }

constexpr LdmCudaApi kApi = {
    kLdmCudaAbi, driver_version,    runtime_version, device_count,   error_text,
    device_name, device_capability, device_memory,   peak_allocated, empty_cache,
    kKernels,    graph_record,      graph_replay,    graph_delete,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LdmCudaApi* ldm_cuda_api() { return &kApi; }
