#include "avx512.h"
#include "int8_tiles.h"

namespace ldm::cpu {

const Int8Kernel& int8_avx512_vnni() {
  static const Int8Kernel kernel = make_int8_kernel<Avx512>();
  return kernel;
}

}  // namespace ldm::cpu
