#pragma once

#include <torch/headeronly/core/ScalarType.h>

namespace ldm::cpu {

/// Whether this machine has AVX2 and FMA.
bool has_avx2();
/// AVX-512 F, BW, DQ and VL.
bool has_avx512();
/// AVX-512 as above and AVX512-BF16.
bool has_avx512_bf16();
/// Tiles of bf16 (AMX). oneDNN multiplies with them, many times faster than vectors could.
bool has_amx_bf16();
/// AVX-512 as above and VNNI.
bool has_avx512_vnni();

/// The one of an algorithm's kernels that is fastest here for a dtype: fp32 with AVX2 or AVX-512,
/// bf16 with AVX512-BF16; null where none serves.
template <class Kernel>
const Kernel* fastest_kernel(c10::ScalarType dtype, const Kernel& (*avx2)(),
                             const Kernel& (*avx512)(), const Kernel& (*avx512_bf16)()) {
  if (dtype == c10::ScalarType::BFloat16) return has_avx512_bf16() ? &avx512_bf16() : nullptr;
  if (dtype != c10::ScalarType::Float) return nullptr;
  if (has_avx512()) return &avx512();
  return has_avx2() ? &avx2() : nullptr;
}

}  // namespace ldm::cpu
