#include "avx512.h"
#include "norm_rows.h"

namespace ldm::cpu {

const NormKernel& norm_avx512() {
  static const NormKernel kernel = make_norm_kernel<Avx512>();
  return kernel;
}

}  // namespace ldm::cpu
