#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "ldm/core/cuda_plugin.h"

namespace ldm {

/// "AMD EPYC 9R14", from /proc/cpuinfo.
std::string cpu_name();

/// The widest vector unit that ATen's CPU kernels use here, e.g. "AVX512".
std::string cpu_isa();

/// Whether this CPU multiplies bf16 in hardware (AVX512-BF16 or AMX), so that bf16 is faster than
/// fp32 and not only smaller.
bool cpu_has_native_bf16();

/// Whether AVX512-BF16 is its fastest way to do so: there is no AMX.
bool cpu_has_bf16_vectors();

/// Whether this CPU has instructions for sums of 8-bit products (AVX512-VNNI).
bool cpu_has_int8_products();

/// Sets how many threads ATen and OpenMP use; 0: one a core. Returns the number in force.
int set_cpu_threads(int threads);

/// What the process allocator is tuned for. `kWeights`: large blocks come from the system and go
/// straight back. `kActivations`: freed blocks are kept for the next, which saves a page fault per
/// 4 KiB of every temporary in packing and in the denoising loop.
enum class AllocatorMode { kWeights, kActivations };

void set_allocator_mode(AllocatorMode mode);

/// Makes libtorch throw when it cannot allocate, as it should by itself; once, at the start of a
/// program.
void throw_when_allocations_fail();

/// Gives all freed memory back to the system: between stages, when a model was let go.
void release_freed_memory();

/// Peak resident set of this process in bytes (VmHWM).
double peak_rss_bytes();

/// Resident set of this process now, in bytes (VmRSS).
double rss_bytes();

/// Host memory that can be had without swapping, in bytes (MemAvailable; the limits of the cgroup
/// and of this process' address space applied).
double available_memory_bytes();

/// libtorch's version, "2.11.0".
std::string_view torch_version();

/// What is known of CUDA here. `api` is null when it cannot be used and `why_not` says why.
struct CudaState {
  const LdmCudaApi* api = nullptr;
  int devices = 0;
  std::string why_not;
};

/// Opens a CUDA plugin and asks it for devices. Throws nothing: what is missing is in `why_not`.
CudaState open_cuda_plugin(const std::filesystem::path& plugin);

/// Loads the CUDA plugin on first use if an NVIDIA driver is there; costs nothing without one.
const CudaState& cuda_state();

/// The plugin if it has been loaded already, else null; never loads it.
const LdmCudaApi* loaded_cuda();

/// Whether a GPU of the loaded plugin multiplies floating-point numbers of 8 bits (compute
/// capability 8.9 and newer).
bool gpu_has_fp8_products(int device);

}  // namespace ldm
