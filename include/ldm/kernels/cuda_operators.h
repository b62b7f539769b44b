#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ldm/kernels/cuda/launch.h"

// The CUDA kernels as functions of tensors, over a table of launchers: the plugin's, or a test's
// that runs them on the CPU. Callers use norm.h and gate.h, which choose.
namespace ldm::cuda {

/// The plugin's kernels; null where it is not loaded or was built without nvcc.
const LdmCudaKernels* loaded_kernels();

/// Whether the norms serve x: fp32, fp16 or bf16, whole vectors of 16 bytes, and of 4 dimensions
/// channels_last.
bool serves_norm(const at::Tensor& x);

/// Whether `gelu_gate` serves x [..., 2·D].
bool serves_gate(const at::Tensor& x);

/// As ldm::group_norm_silu.
at::Tensor group_norm_silu(const LdmCudaKernels& kernels, const at::Tensor& x, std::int64_t groups,
                           const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu,
                           const at::Tensor& shift);

/// As ldm::fast_layer_norm.
at::Tensor layer_norm(const LdmCudaKernels& kernels, const at::Tensor& x, const at::Tensor& weight,
                      const at::Tensor& bias, double eps);

/// As ldm::gelu_gate.
at::Tensor gelu_gate(const LdmCudaKernels& kernels, const at::Tensor& x);

}  // namespace ldm::cuda
