#include "ldm/kernels/gate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>

#include "ldm/kernels/cuda_operators.h"
#include "ldm/kernels/fp8_linear.h"

namespace ldm {

at::Tensor gelu_gate(const PendingSum& x, bool e4m3) {
  if (x.value.is_cuda() && cuda::loaded_kernels() != nullptr && cuda::serves_gate(x)) {
    return cuda::gelu_gate(*cuda::loaded_kernels(), x, e4m3);
  }
  const auto halves = take(x).chunk(2, -1);
  const at::Tensor y = halves[0] * at::gelu(halves[1]);
  return e4m3 ? fp8_of(y) : y;
}

}  // namespace ldm
