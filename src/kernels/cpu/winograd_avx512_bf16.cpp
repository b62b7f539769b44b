#include "avx512_bf16.h"
#include "winograd_tiles.h"

namespace ldm::cpu {

const WinogradKernel& winograd_avx512_bf16() {
  static const WinogradKernel kernel = make_winograd_kernel<Avx512Bf16>();
  return kernel;
}

}  // namespace ldm::cpu
