#include "ldm/kernels/cuda_operators.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/kernels/cuda/blocks.h"

namespace ldm::cuda {
namespace {

bool serves_dtype(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kHalf ||
         x.scalar_type() == at::kBFloat16;
}

LdmCudaDtype dtype_of(const at::Tensor& x) {
  if (x.scalar_type() == at::kHalf) return kLdmCudaFp16;
  return x.scalar_type() == at::kBFloat16 ? kLdmCudaBf16 : kLdmCudaFp32;
}

std::int64_t vector_of(const at::Tensor& x) {
  return kLdmCudaVectorBytes / static_cast<std::int64_t>(x.element_size());
}

/// Weights as a kernel reads them: in the dtype of `x`, one after another.
at::Tensor like(const at::Tensor& weight, const at::Tensor& x) {
  return weight.to(x.scalar_type()).contiguous();
}

void check(int error, const char* kernel) {
  if (error == 0) return;
  const LdmCudaApi* api = loaded_cuda();
  throw Error::internal(
      cat(kernel, " on CUDA: ", api != nullptr ? api->error_text(error) : cat("error ", error)));
}

}  // namespace

const LdmCudaKernels* loaded_kernels() {
  const LdmCudaApi* api = loaded_cuda();
  return api == nullptr ? nullptr : api->kernels;
}

bool serves_norm(const at::Tensor& x) {
  const std::int64_t channels = x.dim() == 4 ? x.size(1) : x.size(-1);
  return serves_dtype(x) && x.numel() > 0 && channels % vector_of(x) == 0 &&
         channels <= kLdmCudaMostChannels &&
         x.is_contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                      : at::MemoryFormat::Contiguous);
}

bool serves_gate(const at::Tensor& x) {
  return serves_dtype(x) && x.numel() > 0 && x.is_contiguous() &&
         x.size(-1) % (2 * vector_of(x)) == 0;
}

at::Tensor group_norm_silu(const LdmCudaKernels& kernels, const at::Tensor& x, std::int64_t groups,
                           const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu,
                           const at::Tensor& shift) {
  const std::int64_t rows = x.size(2) * x.size(3);
  const GroupNormBlocks blocks(rows, x.size(1), vector_of(x));
  const at::Tensor partial =
      at::empty({partial_moments(blocks, x.size(0), groups)}, x.options().dtype(at::kFloat));
  const at::Tensor weights = like(weight, x), biases = like(bias, x);
  const at::Tensor shifts = shift.defined() ? like(shift, x) : at::Tensor();
  const at::Tensor y = at::empty_like(x);
  const LdmCudaGroupNorm call{dtype_of(x),
                              x.device().index(),
                              x.size(0),
                              rows,
                              x.size(1),
                              groups,
                              x.const_data_ptr(),
                              shifts.defined() ? shifts.const_data_ptr() : nullptr,
                              weights.const_data_ptr(),
                              biases.const_data_ptr(),
                              eps,
                              silu,
                              partial.mutable_data_ptr<float>(),
                              y.mutable_data_ptr()};
  check(kernels.group_norm(&call), "GroupNorm");
  return y;
}

at::Tensor layer_norm(const LdmCudaKernels& kernels, const at::Tensor& x, const at::Tensor& weight,
                      const at::Tensor& bias, double eps) {
  const at::Tensor weights = like(weight, x), biases = like(bias, x);
  const at::Tensor y = at::empty_like(x);
  const LdmCudaLayerNorm call{
      dtype_of(x),         x.device().index(),       x.numel() / x.size(-1),  x.size(-1),
      x.const_data_ptr(),  weights.const_data_ptr(), biases.const_data_ptr(), eps,
      y.mutable_data_ptr()};
  check(kernels.layer_norm(&call), "LayerNorm");
  return y;
}

at::Tensor gelu_gate(const LdmCudaKernels& kernels, const at::Tensor& x) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() /= 2;
  const at::Tensor y = at::empty(shape, x.options());
  const LdmCudaGate call{dtype_of(x),  x.device().index(), x.numel() / x.size(-1),
                         shape.back(), x.const_data_ptr(), y.mutable_data_ptr()};
  check(kernels.gelu_gate(&call), "GEGLU");
  return y;
}

}  // namespace ldm::cuda
