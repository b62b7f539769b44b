#include "ldm/pipeline/guidance.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/std.h>

namespace ldm {
namespace {

at::Tensor deviation(const at::Tensor& x) {
  return at::std(x, {1, 2, 3}, /*unbiased=*/true, /*keepdim=*/true);
}

}  // namespace

at::Tensor compose_prompts(const at::Tensor& uncond, std::span<const at::Tensor> texts,
                           std::span<const double> weights) {
  at::Tensor sum = uncond;
  for (std::size_t i = 0; i < texts.size(); ++i) sum = sum + weights[i] * (texts[i] - uncond);
  return sum;
}

at::Tensor guide(const at::Tensor& uncond, const at::Tensor& text, double scale) {
  return uncond + scale * (text - uncond);
}

at::Tensor guide_by_image(const at::Tensor& uncond, const at::Tensor& image, const at::Tensor& text,
                          double scale, double image_scale) {
  return uncond + scale * (text - image) + image_scale * (image - uncond);
}

at::Tensor rescale_guidance(const at::Tensor& guided, const at::Tensor& text, double rescale) {
  const at::Tensor rescaled = guided * (deviation(text) / deviation(guided));
  return rescale * rescaled + (1 - rescale) * guided;
}

}  // namespace ldm
