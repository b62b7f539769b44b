#pragma once

#include <c10/core/Device.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>

#include "ldm/core/execution_request.h"

namespace ldm {

/// Where and how tensors live: applied when weights load and when latents are made, nowhere else.
struct Execution {
  c10::Device device = c10::Device(c10::DeviceType::CPU);
  c10::ScalarType dtype = c10::ScalarType::Float;
  bool tf32 = false;  ///< in fp32 on CUDA: products round what they read to 10 bits
  /// The UNet's transformer blocks multiply in 8 bits: int8 on a CPU, fp8 (e4m3) on a GPU.
  bool eight_bit = false;
  c10::MemoryFormat memory_format = c10::MemoryFormat::Contiguous;  ///< of 4-D weights and images
  int threads = 1;

  /// The same place and layout in another number format.
  Execution with_dtype(c10::ScalarType other) const;
};

/// Decides what a request means on this machine for a denoiser of `parameters` parameters.
///
/// Device auto: CUDA if a driver, the plugin and a device are there, else the CPU. Dtype auto: fp16
/// on CUDA; on the CPU bf16 where the CPU multiplies it natively and the model is large enough for
/// speed to matter (100 M parameters), else fp32. From then on CUDA's products of fp32 read whole
/// numbers, or with tf32 rounded ones. `fast` is without effect, and a warning, where the machine
/// or the dtype has no products in 8 bits. Throws Error::usage for what cannot be had.
Execution resolve_execution(const ExecutionRequest& request, std::int64_t parameters);

/// "fp32", "bf16", "fp16".
std::string dtype_word(c10::ScalarType dtype);

/// The choice in words.
ExecutionSummary summarize(const Execution& execution);

}  // namespace ldm
