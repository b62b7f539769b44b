#pragma once

namespace ldm::cpu {

/// Whether this machine has AVX2 and FMA.
bool has_avx2();
/// AVX-512 F, BW, DQ and VL.
bool has_avx512();
/// AVX-512 as above and AVX512-BF16.
bool has_avx512_bf16();

}  // namespace ldm::cpu
