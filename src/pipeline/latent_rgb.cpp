#include "ldm/pipeline/latent_rgb.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "ldm/core/random.h"

namespace ldm {
namespace {

/// [N, C, h, w] → [N·h·w, C] fp64 on the CPU.
at::Tensor as_rows(const at::Tensor& x) {
  return x.to(at::kCPU, at::kDouble).permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

std::vector<float> values_of(const at::Tensor& x) {
  const at::Tensor plain = x.to(at::kFloat).contiguous();
  return {plain.const_data_ptr<float>(), plain.const_data_ptr<float>() + plain.numel()};
}

}  // namespace

PreviewMap fit_latent_rgb(const at::Tensor& pixels, const at::Tensor& latents) {
  const std::int64_t channels = latents.size(1);
  const at::Tensor rgb =
      as_rows(at::adaptive_avg_pool2d(pixels, {latents.size(2), latents.size(3)}));
  const at::Tensor rows = as_rows(latents);
  const at::Tensor z = at::cat({rows, at::ones({rows.size(0), 1}, at::kDouble)}, 1);
  // A channel that never varies would leave the system singular.
  constexpr double kRidge = 1e-6;
  const at::Tensor normal =
      at::matmul(z.t(), z) + kRidge * static_cast<double>(z.size(0)) *
                                 at::eye(channels + 1, at::TensorOptions().dtype(at::kDouble));
  const at::Tensor solution = at::linalg_solve(normal, at::matmul(z.t(), rgb));
  PreviewMap map;
  map.weight = values_of(solution.narrow(0, 0, channels).t());
  map.bias = values_of(solution[channels]);
  map.error = (at::matmul(z, solution) - rgb).square().mean().sqrt().item<double>() * 127.5;
  return map;
}

at::Tensor apply_latent_rgb(const PreviewMap& map, const at::Tensor& latents) {
  const at::Tensor weight = at::tensor(map.weight).view({3, latents.size(1)});
  const at::Tensor z = latents.to(at::kCPU, at::kFloat).permute({0, 2, 3, 1});
  return (at::matmul(z, weight.t()) + at::tensor(map.bias)).permute({0, 3, 1, 2}).contiguous();
}

at::Tensor fitting_patterns(std::int64_t side) {
  constexpr std::int64_t kPictures = 3;  // of each kind
  constexpr std::int64_t kPatches = 4;
  ImageRandom random(0);
  // Wider than [-1, 1], so that black, white and pure colours are among them.
  const auto colours = [&] {
    return at::clamp(random.randn({kPictures, 3, kPatches, kPatches}) * 0.8, -1, 1);
  };
  const at::Tensor patches = at::upsample_nearest2d(colours(), {side, side});
  return at::cat({patches, at::upsample_bilinear2d(colours(), {side, side}, true)});
}

}  // namespace ldm
