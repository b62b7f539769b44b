#pragma once

#include <ATen/core/Tensor.h>

namespace ldm {

/// The gate of GEGLU, x [..., 2·D] → [..., D]: the first half times the exact gelu of the second;
/// in one pass where there is a kernel (CUDA). Source: Shazeer 2020, eq. 6. Reference, and every
/// other device's: value * at::gelu(gate).
at::Tensor gelu_gate(const at::Tensor& x);

}  // namespace ldm
