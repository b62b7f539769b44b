#pragma once

#include <ATen/core/Tensor.h>

namespace ldm {

/// What a layer has computed so far of its output, and what is still to be added: the pass that
/// reads it next adds as it reads, where there is a kernel (CUDA).
struct PendingSum {
  at::Tensor value;        ///< [..., D], or [B, D, H, W]; nobody else's
  at::Tensor bias = {};    ///< [D]; undefined: nothing
  at::Tensor addend = {};  ///< like value; undefined: nothing
};

/// Whether a layer should leave its bias and what is added to whoever reads its output, of
/// `weight`'s device, dtype and first dimension.
bool sum_serves(const at::Tensor& weight);

/// value + bias + addend; the value's own memory where there is a kernel.
/// Reference, and every other device's: the additions one after another.
at::Tensor take(PendingSum sum);

}  // namespace ldm
