#include "avx512_bf16.h"
#include "int8_tiles.h"

namespace ldm::cpu {

const Int8Kernel& int8_avx512_vnni_bf16() {
  static const Int8Kernel kernel = make_int8_kernel<Avx512Bf16>();
  return kernel;
}

}  // namespace ldm::cpu
