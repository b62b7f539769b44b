#include "ldm/core/determinism.h"

#include <ATen/Context.h>

#include <cstdlib>

namespace ldm {

std::map<std::string, std::string> determinism_settings(bool cuda) {
  const at::Context& context = at::globalContext();
  const auto word = [](bool on) { return on ? "true" : "false"; };
  const auto precision = [&](at::Float32Op op) {
    return at::precision2str(
        context.float32Precision(cuda ? at::Float32Backend::CUDA : at::Float32Backend::MKLDNN, op));
  };
  std::map<std::string, std::string> out;
  out["deterministic_algorithms"] = word(context.deterministicAlgorithms());
  out["float32_conv"] = precision(at::Float32Op::CONV);
  out["float32_matmul"] = precision(at::Float32Op::MATMUL);
  if (cuda) {
    out["cudnn_benchmark"] = word(context.benchmarkCuDNN());
    out["cudnn_deterministic"] = word(context.deterministicCuDNN());
  }
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR",
                           "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"}) {
    if (const char* value = std::getenv(name)) out[name] = value;
  }
  return out;
}

}  // namespace ldm
