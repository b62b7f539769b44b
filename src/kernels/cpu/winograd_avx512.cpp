#include "avx512.h"
#include "winograd_tiles.h"

namespace ldm::cpu {

const WinogradKernel& winograd_avx512() {
  static const WinogradKernel kernel = make_winograd_kernel<Avx512>();
  return kernel;
}

}  // namespace ldm::cpu
