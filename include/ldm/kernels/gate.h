#pragma once

#include <ATen/core/Tensor.h>

#include "ldm/kernels/sum.h"

namespace ldm {

/// The gate of GEGLU, x [..., 2·D] → [..., D]: the first half times the exact gelu of the second;
/// in one pass, with x's bias, where there is a kernel (CUDA); in e4m3 where that is asked. Source:
/// Shazeer 2020, eq. 6. Reference, and every other device's: value * at::gelu(gate), then fp8_of.
at::Tensor gelu_gate(const PendingSum& x, bool e4m3 = false);

}  // namespace ldm
