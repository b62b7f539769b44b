#include "ldm/pipeline/second_pass.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/loading/components.h"
#include "ldm/nn/diagonal_gaussian.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/image_tensor.h"

namespace ldm {
namespace {

/// Whole latents along a side; what rounding took from a product of decimals is given back.
std::int64_t enlarged_side(std::int64_t latents, std::int64_t downsampling, double scale) {
  constexpr double kRounding = 1e-9;
  const double pixels = static_cast<double>(latents * downsampling) * scale;
  const double whole = std::floor(pixels / static_cast<double>(downsampling) + kRounding);
  return std::max(latents, static_cast<std::int64_t>(whole));
}

}  // namespace

Plan second_pass_of(const Plan& first, std::int64_t downsampling) {
  const HiresPass& hires = *first.request.hires;
  Plan second = first;
  Request& request = second.request;
  for (std::size_t side : {1U, 2U}) {
    std::int64_t& latents = second.latent_shape[side];
    latents = enlarged_side(latents, downsampling, hires.scale);
  }
  request.height = static_cast<int>(second.latent_shape[1] * downsampling);
  request.width = static_cast<int>(second.latent_shape[2] * downsampling);
  if (std::int64_t{request.width} * request.height > kMostPixels) {
    throw Error::usage(cat("--hires-scale ", hires.scale, " gives ", request.width, "x",
                           request.height, ", more than 64 megapixels"));
  }
  request.strength = hires.strength;
  if (hires.steps > 0) request.num_inference_steps = hires.steps;
  request.init_latents.reset();
  second.image_to_image = true;
  return second;
}

at::Tensor enlarged_latents(Components& c, const Plan& second, const at::Tensor& latents,
                            std::vector<ImageRandom>& randoms) {
  const Request& request = second.request;
  if (!request.hires->by_image) {
    return at::upsample_bilinear2d(latents.to(at::kFloat),
                                   {second.latent_shape[1], second.latent_shape[2]},
                                   /*align_corners=*/false);
  }
  configure_autoencoder(c.vae, request);
  std::vector<at::Tensor> samples;
  for (std::size_t k = 0; k < randoms.size(); ++k) {
    const at::Tensor one = latents.narrow(0, static_cast<std::int64_t>(k), 1);
    const Image small = tensor_to_image(decode_latents(c.vae, one));
    const Image large = resize_lanczos(small, request.width, request.height);
    samples.push_back(sample_latents(c.vae, image_to_tensor(large), std::span(&randoms[k], 1)));
  }
  return at::cat(samples);
}

}  // namespace ldm
