#include "avx512_bf16.h"
#include "norm_rows.h"

namespace ldm::cpu {

const NormKernel& norm_avx512_bf16() {
  static const NormKernel kernel = make_norm_kernel<Avx512Bf16>();
  return kernel;
}

}  // namespace ldm::cpu
