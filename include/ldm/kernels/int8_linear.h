#pragma once

#include <ATen/core/Tensor.h>

namespace ldm {

/// Whether weights [out, in] or [out, in, 1, 1] can be multiplied in 8 bits here: on a CPU with
/// AVX512-VNNI, fp32, or bf16 where the CPU has instructions for it, in whole vectors.
bool int8_serves(const at::Tensor& weight);

/// Whether `int8_linear_gated` serves such weights as well.
bool int8_gated_serves(const at::Tensor& weight);

/// A weight [out, in] in 8 bits: every row w as round(w · 127 / m) · m / 127, with m its largest
/// absolute value. The result is opaque bytes: only the functions below can read it.
at::Tensor int8_pack_linear(const at::Tensor& weight);

/// y = x Wᵀ + b of a packed weight with `out` rows, where x's rows are rounded to 8 bits like the
/// weight's (LLM.int8's row- and column-wise scales, Dettmers et al. 2022, without its exceptions).
/// A row's result depends on that row alone. x [..., in] → [..., out], bias [out] or undefined.
/// Reference: `int8_linear_plainly`.
at::Tensor int8_linear(const at::Tensor& x, const at::Tensor& packed, std::int64_t out,
                       const at::Tensor& bias);

/// A weight [2·out, in] whose halves' outputs are value and gate, for `int8_linear_gated`.
at::Tensor int8_pack_gated(const at::Tensor& weight);

/// y = value · gelu(gate), where [value, gate] = x Wᵀ + b as by `int8_linear`; x [..., in] →
/// [..., out], bias [2·out] or undefined. Reference: `int8_linear_plainly`.
at::Tensor int8_linear_gated(const at::Tensor& x, const at::Tensor& packed, std::int64_t out,
                             const at::Tensor& bias);

/// What `int8_linear` computes, by its definition and in fp32: x [..., in], weight [out, in].
at::Tensor int8_linear_plainly(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias);

}  // namespace ldm
