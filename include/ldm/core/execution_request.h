#pragma once

#include <string>

namespace ldm {

/// Where and in which number format to compute, as asked for. `Execution` is what comes of it.
struct ExecutionRequest {
  std::string device = "auto";  ///< auto, cpu, cuda, cuda:N
  std::string dtype = "auto";   ///< auto, fp32, tf32, bf16, fp16
  bool fast = false;            ///< products in 8 bits where this machine has them
  int threads = 0;              ///< CPU threads; 0: one a core
  bool weight_cache = false;    ///< packed weights are kept on disk for the next start
};

/// The resolved choice in words, for reports and events.
struct ExecutionSummary {
  std::string device;       ///< cpu, cuda:0
  std::string device_name;  ///< "AMD EPYC …", "NVIDIA H200"
  std::string dtype;        ///< fp32, tf32, bf16, fp16: of the UNet
  std::string isa;          ///< AVX2, AVX512, …: what the CPU kernels were chosen for
  int threads = 1;
  std::string products = {};  ///< int8, fp8: of the UNet's transformer blocks; empty: dtype
};

}  // namespace ldm
