#include "avx2.h"
#include "winograd_tiles.h"

namespace ldm::cpu {

const WinogradKernel& winograd_avx2() {
  static const WinogradKernel kernel = make_winograd_kernel<Avx2>();
  return kernel;
}

}  // namespace ldm::cpu
