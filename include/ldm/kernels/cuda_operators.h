#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ldm/kernels/cuda/launch.h"
#include "ldm/kernels/norm.h"
#include "ldm/kernels/sum.h"

// The CUDA kernels as functions of tensors, over a table of launchers: the plugin's, or a test's
// that runs them on the CPU. Callers use norm.h, gate.h and sum.h, which choose.
namespace ldm::cuda {

/// The plugin's kernels; null where it is not loaded or was built without nvcc.
const LdmCudaKernels* loaded_kernels();

/// Whether kernels serve so many channels in the dtype of `like`: fp32, fp16 or bf16, and whole
/// vectors of 16 bytes.
bool serves_channels(const at::Tensor& like, std::int64_t channels);

/// Whether the norms serve x: such channels, not too many, and of 4 dimensions channels_last.
bool serves_norm(const at::Tensor& x);

/// Whether `add` serves a sum: such channels, and as `serves_norm` in memory.
bool serves_sum(const PendingSum& sum);

/// Whether `gelu_gate` serves x [..., 2·D].
bool serves_gate(const PendingSum& x);

/// As ldm::group_norm_silu.
at::Tensor group_norm_silu(const LdmCudaKernels& kernels, const at::Tensor& x, std::int64_t groups,
                           const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu,
                           const GroupNormShifts& shifts);

/// As ldm::layer_norm_of_sum.
at::Tensor layer_norm(const LdmCudaKernels& kernels, PendingSum& sum, const at::Tensor& weight,
                      const at::Tensor& bias, double eps, bool e4m3 = false);

/// As ldm::gelu_gate.
at::Tensor gelu_gate(const LdmCudaKernels& kernels, const PendingSum& sum, bool e4m3 = false);

/// Adds bias and addend to the value, in place.
void add(const LdmCudaKernels& kernels, const PendingSum& sum);

}  // namespace ldm::cuda
