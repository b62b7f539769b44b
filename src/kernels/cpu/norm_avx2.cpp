#include "avx2.h"
#include "norm_rows.h"

namespace ldm::cpu {

const NormKernel& norm_avx2() {
  static const NormKernel kernel = make_norm_kernel<Avx2>();
  return kernel;
}

}  // namespace ldm::cpu
