#include "ldm/kernels/fp8_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_mm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>

#include <cstdint>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/kernels/cuda_operators.h"

namespace ldm {
namespace {

constexpr float kMostE4m3 = 448;
/// A weight of zeros is scaled as one of this largest value.
constexpr float kLeastWeight = 1e-12F;
/// What the product asks of both sides of a weight.
constexpr std::int64_t kStep = 16;
/// The tensor cores' own sums, of fewer bits than fp32 and without steps in fp32 between them: e4m3
/// rounds what they add far more coarsely.
constexpr bool kFastSums = true;

}  // namespace

at::Tensor fp8_of(const at::Tensor& x) {
  return x.to(at::kFloat).clamp(-kMostE4m3, kMostE4m3).to(at::kFloat8_e4m3fn);
}

bool fp8_serves(const at::Tensor& weight) {
  return weight.is_cuda() && cuda::loaded_kernels() != nullptr && weight.dim() == 2 &&
         (weight.scalar_type() == at::kHalf || weight.scalar_type() == at::kBFloat16) &&
         weight.size(0) % kStep == 0 && weight.size(1) % kStep == 0 &&
         gpu_has_fp8_products(weight.device().index());
}

Fp8Weight fp8_pack_linear(const at::Tensor& weight) {
  const at::Tensor exact = weight.to(at::kFloat).contiguous();
  const at::Tensor scale = exact.abs().amax().clamp_min(kLeastWeight) / kMostE4m3;
  return {fp8_of(exact / scale), scale, at::ones_like(scale)};
}

at::Tensor fp8_linear(const at::Tensor& x, const Fp8Weight& weight, at::ScalarType dtype) {
  const at::Tensor y =
      at::_scaled_mm(x.reshape({-1, x.size(-1)}), weight.values.t(), weight.one, weight.scale,
                     /*bias=*/{}, /*scale_result=*/{}, dtype, kFastSums);
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = weight.values.size(0);
  return y.view(shape);
}

at::Tensor fp8_linear_plainly(const at::Tensor& x, const Fp8Weight& weight) {
  return at::linear(x.to(at::kFloat), weight.values.to(at::kFloat) * weight.scale);
}

}  // namespace ldm
