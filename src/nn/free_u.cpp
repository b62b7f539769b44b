#include "ldm/nn/free_u.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/fft_fftn.h>
#include <ATen/ops/fft_fftshift.h>
#include <ATen/ops/fft_ifftn.h>
#include <ATen/ops/fft_ifftshift.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/real.h>

#include <algorithm>
#include <array>

namespace ldm::nn {

at::Tensor amplify_backbone(const at::Tensor& x, const FreeU& freeu) {
  const std::int64_t half = x.size(1) / 2;
  return at::cat({x.narrow(1, 0, half) * freeu.backbone, x.narrow(1, half, x.size(1) - half)}, 1);
}

at::Tensor damp_skip(const at::Tensor& x, const FreeU& freeu) {
  constexpr std::array<std::int64_t, 2> kSides = {-2, -1};
  const std::int64_t height = x.size(2);
  const std::int64_t width = x.size(3);
  const auto first = [](std::int64_t side) { return std::max<std::int64_t>(side / 2 - 1, 0); };
  const auto end = [](std::int64_t side) { return std::min<std::int64_t>(side / 2 + 1, side); };
  const at::Tensor mask = at::ones({height, width}, x.options().dtype(at::kFloat));
  mask.slice(0, first(height), end(height)).slice(1, first(width), end(width)).fill_(freeu.skip);
  const at::Tensor spectrum =
      at::fft_fftshift(at::fft_fftn(x.to(at::kFloat), c10::nullopt, at::IntArrayRef(kSides)),
                       at::IntArrayRef(kSides));
  const at::Tensor damped =
      at::fft_ifftn(at::fft_ifftshift(spectrum * mask, at::IntArrayRef(kSides)), c10::nullopt,
                    at::IntArrayRef(kSides));
  return at::real(damped).to(x.scalar_type()).contiguous(x.suggest_memory_format());
}

}  // namespace ldm::nn
