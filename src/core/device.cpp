#include "ldm/core/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/native/DispatchStub.h>
#include <c10/util/Logging.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sys/resource.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "ldm/core/plugin.h"
#include "ldm/core/text.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

std::atomic<const LdmCudaApi*> g_loaded_cuda{nullptr};

/// Value in bytes of a "Key:  123 kB" line, 0 when there is none.
double proc_kilobytes(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      return std::strtod(line.c_str() + key.size(), nullptr) * 1024.0;
    }
  }
  return 0;
}

double number_in_file(const char* file) {
  std::ifstream in(file);
  double value = 0;
  return in >> value ? value : 0;
}

bool has_nvidia_driver() {
  return fs::exists("/proc/driver/nvidia/version") || fs::exists("/dev/nvidiactl");
}

CudaState load_cuda() {
  CudaState state;
  if (has_nvidia_driver()) {
    state = open_cuda_plugin(plugin_path("libldm_cuda.so"));
    if (state.api != nullptr && !at::hasCUDA()) {
      state = {nullptr, 0, "libtorch was at work before the plugin came: it keeps to the CPU"};
    }
  } else {
    state.why_not = "no NVIDIA driver on this machine";
  }
  g_loaded_cuda = state.api;
  return state;
}

}  // namespace

CudaState open_cuda_plugin(const fs::path& plugin) {
  CudaState state;
  if (!fs::exists(plugin)) {
    state.why_not = cat(plugin.string(), " is missing: ldm-gen was built without a CUDA toolkit");
    return state;
  }
  void* library = dlopen(plugin.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    state.why_not = cat("cannot load ", plugin.string(), ": ", dlerror());
    return state;
  }
  using Entry = const LdmCudaApi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "ldm_cuda_api"));
  const LdmCudaApi* api = entry != nullptr ? entry() : nullptr;
  if (api == nullptr || api->abi != kLdmCudaAbi) {
    state.why_not = cat(plugin.string(), " belongs to another build of ldm-gen");
    return state;
  }
  const int count = api->device_count();
  if (count <= 0) {
    state.why_not =
        cat("no usable CUDA device: ", count < 0 ? api->error_text(-count) : "none found",
            " (driver for CUDA ", api->driver_version() / 1000, ".",
            api->driver_version() % 1000 / 10, ", ldm-gen needs ", api->runtime_version() / 1000,
            ".", api->runtime_version() % 1000 / 10, ")");
    return state;
  }
  state.api = api;
  state.devices = count;
  return state;
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) == 0) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown CPU";
}

std::string cpu_isa() { return at::get_cpu_capability(); }

bool cpu_has_native_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0 || __builtin_cpu_supports("amx-bf16") != 0;
#else
  return false;
#endif
}

bool cpu_has_bf16_vectors() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("amx-bf16") == 0;
#else
  return false;
#endif
}

bool cpu_has_int8_products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni") != 0;
#else
  return false;
#endif
}

int set_cpu_threads(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  at::set_num_threads(threads);
  return at::get_num_threads();
}

void set_allocator_mode(AllocatorMode mode) {
  constexpr int kOneMiB = 1 << 20;
  constexpr int kOneGiB = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, mode == AllocatorMode::kWeights ? kOneMiB : kOneGiB);
  mallopt(M_TRIM_THRESHOLD, kOneGiB);
  // What one thread frees must be there for the others too.
  mallopt(M_ARENA_MAX, 1);
}

void throw_when_allocations_fail() {
  // libsentencepiece exports a FLAGS_minloglevel too, larger than c10's: its initialiser builds it
  // over c10's and over the flag behind it, by which c10 would abort instead of throwing.
  FLAGS_caffe2_use_fatal_for_enforce = false;
}

void release_freed_memory() { malloc_trim(0); }

double peak_rss_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }

double rss_bytes() { return proc_kilobytes("/proc/self/status", "VmRSS:"); }

double available_memory_bytes() {
  double free = proc_kilobytes("/proc/meminfo", "MemAvailable:");
  const double limit = number_in_file("/sys/fs/cgroup/memory.max");
  if (limit > 0) free = std::min(free, limit - number_in_file("/sys/fs/cgroup/memory.current"));
  rlimit space{};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
    const double used = proc_kilobytes("/proc/self/status", "VmSize:");
    free = std::min(free, static_cast<double>(space.rlim_cur) - used);
  }
  return std::max(0.0, free);
}

std::string_view torch_version() { return TORCH_VERSION; }

const CudaState& cuda_state() {
  static const CudaState state = load_cuda();
  return state;
}

const LdmCudaApi* loaded_cuda() { return g_loaded_cuda; }

bool gpu_has_fp8_products(int device) {
  constexpr int kLeastCapability = 89;
  const LdmCudaApi* api = loaded_cuda();
  return api != nullptr && api->device_capability(device) >= kLeastCapability;
}

}  // namespace ldm
