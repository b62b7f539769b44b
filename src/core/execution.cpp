#include "ldm/core/execution.h"

#include <ATen/Context.h>

#include <array>
#include <charconv>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::int64_t kLargeModel = 100'000'000;

c10::Device cuda_device(const std::string& word) {
  const CudaState& cuda = cuda_state();
  if (cuda.api == nullptr) {
    throw Error::usage(cat("--device ", word, ": ", cuda.why_not), "use --device cpu");
  }
  int index = 0;
  if (word != "cuda") {
    const std::string number = word.substr(5);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (error != std::errc() || end != number.data() + number.size() || index < 0) {
      throw Error::usage(cat("--device ", word, ": not a device number"),
                         "write cuda:0, cuda:1, …");
    }
  }
  if (index >= cuda.devices) {
    throw Error::usage(cat("--device ", word, ": this machine has ", cuda.devices,
                           " CUDA device(s), numbered from 0"),
                       "use --device cuda:0");
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

c10::Device resolve_device(const std::string& word) {
  if (word == "cpu") return c10::Device(c10::DeviceType::CPU);
  if (word == "auto") {
    return cuda_state().api != nullptr ? cuda_device("cuda") : c10::Device(c10::DeviceType::CPU);
  }
  if (word == "cuda" || word.rfind("cuda:", 0) == 0) return cuda_device(word);
  const std::array<std::string, 3> known = {"auto", "cpu", "cuda"};
  throw Error::usage(cat("--device ", word, ": unknown device"), did_you_mean(word, known));
}

c10::ScalarType resolve_dtype(const std::string& word, c10::Device device,
                              std::int64_t parameters) {
  if (word == "fp32") return c10::ScalarType::Float;
  if (word == "tf32") {
    if (device.is_cuda()) return c10::ScalarType::Float;
    throw Error::usage("--dtype tf32: only GPUs compute in it", "use --dtype fp32 or bf16");
  }
  if (word == "bf16") return c10::ScalarType::BFloat16;
  if (word == "fp16") {
    if (device.is_cpu()) {
      log_warning("slow-dtype", "fp16 is slow on a CPU", "use --dtype bf16 or fp32");
    }
    return c10::ScalarType::Half;
  }
  if (word != "auto") {
    const std::array<std::string, 5> known = {"auto", "fp32", "tf32", "bf16", "fp16"};
    throw Error::usage(cat("--dtype ", word, ": unknown number format"), did_you_mean(word, known));
  }
  if (device.is_cuda()) return c10::ScalarType::Half;
  const bool bf16 = cpu_has_native_bf16() && parameters >= kLargeModel;
  return bf16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}

/// Why this CPU has no products in 8 bits for numbers of `dtype`; empty: it has.
std::string why_no_int8(c10::ScalarType dtype) {
  if (!cpu_has_int8_products()) return "this CPU has no AVX512-VNNI: it computes as without it";
  if (dtype == c10::ScalarType::Half) return "it goes with bf16 and fp32, not with fp16";
  if (dtype == c10::ScalarType::BFloat16 && !cpu_has_bf16_vectors()) {
    return "it goes with fp32 on this CPU: its bf16 is not AVX512-BF16's, or faster (AMX)";
  }
  return {};
}

/// Why a GPU has no products in 8 bits for numbers of `dtype`; empty: it has.
std::string why_no_fp8(c10::Device device, c10::ScalarType dtype) {
  if (cuda_state().api->kernels == nullptr) return "libldm_cuda.so was built without nvcc";
  if (!gpu_has_fp8_products(device.index())) {
    return "this GPU has no 8-bit floating-point products (compute capability 8.9 and newer have)";
  }
  if (dtype == c10::ScalarType::Float) return "on a GPU it goes with fp16 and bf16, not with fp32";
  return {};
}

bool resolve_eight_bit(const ExecutionRequest& request, const Execution& execution) {
  if (!request.fast) return false;
  const std::string why = execution.device.is_cuda() ? why_no_fp8(execution.device, execution.dtype)
                                                     : why_no_int8(execution.dtype);
  if (!why.empty()) log_warning("no-8-bit", "--fast has no effect: " + why);
  return why.empty();
}

}  // namespace

Execution Execution::with_dtype(c10::ScalarType other) const {
  Execution changed = *this;
  changed.dtype = other;
  return changed;
}

Execution resolve_execution(const ExecutionRequest& request, std::int64_t parameters) {
  Execution execution;
  execution.device = resolve_device(request.device);
  execution.dtype = resolve_dtype(request.dtype, execution.device, parameters);
  execution.memory_format = c10::MemoryFormat::ChannelsLast;
  if (execution.device.is_cuda()) {
    execution.tf32 = request.dtype == "tf32";
    // fp32 means fp32: convolutions would otherwise round their inputs to TF32's 10 bits.
    const auto precision = execution.tf32 ? at::Float32Precision::TF32 : at::Float32Precision::IEEE;
    for (const at::Float32Op op : {at::Float32Op::CONV, at::Float32Op::MATMUL}) {
      at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, op, precision);
    }
  }
  execution.eight_bit = resolve_eight_bit(request, execution);
  execution.threads = set_cpu_threads(request.threads);
  return execution;
}

std::string dtype_word(c10::ScalarType dtype) {
  if (dtype == c10::ScalarType::Float) return "fp32";
  if (dtype == c10::ScalarType::BFloat16) return "bf16";
  if (dtype == c10::ScalarType::Half) return "fp16";
  return c10::toString(dtype);
}

ExecutionSummary summarize(const Execution& execution) {
  ExecutionSummary summary;
  summary.device = execution.device.str();
  summary.dtype = execution.tf32 ? "tf32" : dtype_word(execution.dtype);
  if (execution.eight_bit) summary.products = execution.device.is_cuda() ? "fp8" : "int8";
  summary.isa = cpu_isa();
  summary.threads = execution.threads;
  summary.device_name = cpu_name();
  if (execution.device.is_cuda()) {
    std::array<char, 256> name{};
    cuda_state().api->device_name(execution.device.index(), name.data(), name.size());
    summary.device_name = name.data();
  }
  return summary;
}

}  // namespace ldm
