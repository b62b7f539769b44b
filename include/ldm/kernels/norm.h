#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ldm/kernels/sum.h"

namespace ldm {

/// What a GroupNorm of [B, C, H, W] adds to its input first: a layer's bias [C] that is still to
/// come, and something of each picture [B', C], whose rows may be apart and serve B / B' times,
/// over and over. Undefined: nothing.
struct GroupNormShifts {
  at::Tensor bias = {};
  at::Tensor shift = {};
};

/// Whether the kernels below serve x here: on the CPU in fp32 (AVX2 or AVX-512) or bf16
/// (AVX512-BF16), on CUDA in these and fp16; channels that fill whole vectors and, of 4 dimensions,
/// channels_last.
bool norm_serves(const at::Tensor& x);

/// Whether `group_norm_silu` serves so many groups.
bool groups_serve(std::int64_t groups);

/// GroupNorm of x + shifts, then SiLU where `silu`, in one pass. x [B, C, H, W] channels_last,
/// weight and bias [C] → like x; all between reading and writing in fp32.
/// Source: Wu & He 2018. Reference: at::silu(at::group_norm(x + shift[:, :, None, None], …)).
at::Tensor group_norm_silu(const at::Tensor& x, std::int64_t groups, const at::Tensor& weight,
                           const at::Tensor& bias, double eps, bool silu,
                           const GroupNormShifts& shifts = {});

/// LayerNorm over the last dimension in one pass. x [..., D], weight and bias [D] → like x.
/// Reference: at::layer_norm.
at::Tensor fast_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps);

/// LayerNorm of a sum, which is taken on the way: then `x` is its value alone.
/// In e4m3 where that is asked. Reference: fast_layer_norm(take(x)), then fp8_of.
at::Tensor layer_norm_of_sum(PendingSum& x, const at::Tensor& weight, const at::Tensor& bias,
                             double eps, bool e4m3 = false);

}  // namespace ldm
