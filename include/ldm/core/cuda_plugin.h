#pragma once

#include <cstddef>
#include <cstdint>

// The C interface between ldm-gen, which never links CUDA, and libldm_cuda.so, which does.
// Loading the plugin loads libtorch_cuda.so too, and with it ATen's CUDA operators.
extern "C" {

struct LdmCudaKernels;  // ldm/kernels/cuda/launch.h

/// Increased with every change of LdmCudaApi or LdmCudaKernels; both sides must agree.
constexpr std::uint32_t kLdmCudaAbi = 5;

struct LdmCudaApi {
  std::uint32_t abi;
  /// CUDA version of the driver (e.g. 13000), 0 without a driver.
  int (*driver_version)();
  /// CUDA version the plugin's runtime was built for.
  int (*runtime_version)();
  /// Visible devices; negative: minus the cudaError_t that says why there are none.
  int (*device_count)();
  /// Text of a cudaError_t.
  const char* (*error_text)(int error);
  /// Writes the device's name, NUL-terminated.
  void (*device_name)(int device, char* out, std::size_t size);
  /// Compute capability, ten times the major number plus the minor (90); 0 when it cannot be asked.
  int (*device_capability)(int device);
  /// Free and total bytes of a device; both 0 when it cannot be asked.
  void (*device_memory)(int device, std::uint64_t* free, std::uint64_t* total);
  /// Most bytes that ATen's caching allocator held on the device at once; 0 before the first.
  std::uint64_t (*peak_allocated)(int device);
  /// Gives cached, unused blocks back to the driver.
  void (*empty_cache)();
  /// Kernels; null when the plugin was built without nvcc.
  const LdmCudaKernels* kernels;
  /// Records what `run(context)` launches on a device into a graph, without computing it; to be
  /// deleted. `run` is called twice, the first time to make what a recording cannot. What it reads
  /// and writes must stay where it is. Throws what `run` throws, and c10::Error where it cannot be
  /// recorded.
  void* (*graph_record)(int device, void (*run)(void* context), void* context);
  /// Computes what was recorded, on ATen's current stream.
  void (*graph_replay)(void* graph);
  void (*graph_delete)(void* graph);
};

/// The plugin's one exported symbol.
const LdmCudaApi* ldm_cuda_api();
}
