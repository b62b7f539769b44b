#include "ldm/kernels/cuda_operators.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/kernels/cuda/blocks.h"

namespace ldm::cuda {
namespace {

constexpr at::ScalarType kE4m3 = at::kFloat8_e4m3fn;

/// The kernels that give each thread a vector count them in 32 bits.
constexpr std::int64_t kMostNumbers = std::int64_t{1} << 32;

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

/// Rows of channels without gaps: NHWC, or tokens.
bool is_dense(const at::Tensor& x) {
  return x.is_contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                      : at::MemoryFormat::Contiguous);
}

std::int64_t channels_of(const at::Tensor& x) { return x.dim() == 4 ? x.size(1) : x.size(-1); }

/// Where a kernel reads a tensor that may be undefined.
const void* place_of(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }

/// Weights as a kernel reads them: in the dtype of `x`, one after another; undefined stays so.
at::Tensor like(const at::Tensor& weight, const at::Tensor& x) {
  return weight.defined() ? weight.to(x.scalar_type()).contiguous() : weight;
}

/// As a GroupNorm reads what it adds: rows of whole vectors, which may be apart.
at::Tensor rows_like(const at::Tensor& shift, const at::Tensor& x) {
  if (!shift.defined()) return shift;
  const std::int64_t vector = vector_of(x);
  const bool serves = shift.scalar_type() == x.scalar_type() && shift.stride(1) == 1 &&
                      shift.stride(0) % vector == 0 && shift.storage_offset() % vector == 0;
  return serves ? shift : like(shift, x);
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

bool serves_channels(const at::Tensor& like, std::int64_t channels) {
  return serves_dtype(like) && channels % vector_of(like) == 0;
}

bool serves_norm(const at::Tensor& x) {
  const std::int64_t most = x.dim() == 4 ? kLdmCudaMostChannels : kMostRowVectors * vector_of(x);
  const std::int64_t channels = channels_of(x);
  return serves_channels(x, channels) && channels <= most && x.numel() > 0 && is_dense(x);
}

bool serves_sum(const PendingSum& sum) {
  const at::Tensor& x = sum.value;
  const at::Tensor& addend = sum.addend;
  const bool alike = !addend.defined() || (addend.sizes() == x.sizes() && is_dense(addend) &&
                                           addend.scalar_type() == x.scalar_type());
  return serves_channels(x, channels_of(x)) && x.numel() > 0 && x.numel() < kMostNumbers &&
         is_dense(x) && alike;
}

bool serves_gate(const PendingSum& x) {
  return x.value.size(-1) % 2 == 0 && serves_channels(x.value, x.value.size(-1) / 2) &&
         serves_sum(x) && !x.addend.defined();
}

at::Tensor group_norm_silu(const LdmCudaKernels& kernels, const at::Tensor& x, std::int64_t groups,
                           const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu,
                           const GroupNormShifts& shifts) {
  const std::int64_t rows = x.size(2) * x.size(3);
  const GroupNormBlocks blocks(rows, x.size(1), vector_of(x));
  const at::Tensor partial =
      at::empty({partial_moments(blocks, x.size(0), groups)}, x.options().dtype(at::kFloat));
  const at::Tensor weights = like(weight, x), biases = like(bias, x), before = like(shifts.bias, x);
  const at::Tensor shift = rows_like(shifts.shift, x);
  const at::Tensor y = at::empty_like(x);
  const LdmCudaGroupNorm call{dtype_of(x),
                              x.device().index(),
                              x.size(0),
                              rows,
                              x.size(1),
                              groups,
                              x.const_data_ptr(),
                              place_of(before),
                              place_of(shift),
                              shift.defined() ? shift.size(0) : 0,
                              shift.defined() ? shift.stride(0) : 0,
                              weights.const_data_ptr(),
                              biases.const_data_ptr(),
                              eps,
                              silu,
                              partial.mutable_data_ptr<float>(),
                              y.mutable_data_ptr()};
  check(kernels.group_norm(&call), "GroupNorm");
  return y;
}

at::Tensor layer_norm(const LdmCudaKernels& kernels, PendingSum& sum, const at::Tensor& weight,
                      const at::Tensor& bias, double eps, bool e4m3) {
  const at::Tensor x = sum.value;
  const at::Tensor weights = like(weight, x), biases = like(bias, x), before = like(sum.bias, x);
  const bool adds = before.defined() || sum.addend.defined();
  const at::Tensor y = at::empty_like(x, e4m3 ? x.options().dtype(kE4m3) : x.options());
  const LdmCudaLayerNorm call{dtype_of(x),
                              x.device().index(),
                              x.numel() / x.size(-1),
                              x.size(-1),
                              x.const_data_ptr(),
                              place_of(before),
                              place_of(sum.addend),
                              adds ? x.mutable_data_ptr() : nullptr,
                              weights.const_data_ptr(),
                              biases.const_data_ptr(),
                              eps,
                              y.mutable_data_ptr(),
                              e4m3};
  check(kernels.layer_norm(&call), "LayerNorm");
  sum = {x};
  return y;
}

at::Tensor gelu_gate(const LdmCudaKernels& kernels, const PendingSum& sum, bool e4m3) {
  const at::Tensor& x = sum.value;
  const at::Tensor bias = like(sum.bias, x);
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() /= 2;
  const at::Tensor y = at::empty(shape, e4m3 ? x.options().dtype(kE4m3) : x.options());
  const LdmCudaGate call{
      dtype_of(x),        x.device().index(), x.numel() / x.size(-1), shape.back(),
      x.const_data_ptr(), place_of(bias),     y.mutable_data_ptr(),   e4m3};
  check(kernels.gelu_gate(&call), "GEGLU");
  return y;
}

void add(const LdmCudaKernels& kernels, const PendingSum& sum) {
  const at::Tensor& x = sum.value;
  const at::Tensor bias = like(sum.bias, x);
  const std::int64_t channels = channels_of(x);
  const LdmCudaSum call{dtype_of(x),          x.device().index(), x.numel() / channels, channels,
                        x.mutable_data_ptr(), place_of(bias),     place_of(sum.addend)};
  check(kernels.sum(&call), "sum");
}

}  // namespace ldm::cuda
