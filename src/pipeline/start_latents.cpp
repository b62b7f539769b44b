#include "ldm/pipeline/start_latents.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/plan.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

constexpr std::int64_t kAutoTilingPixels = 1536 * 1536;

Image fitted_image(const Request& request) {
  const Image& image = *request.init_image;
  if (image.width == request.width && image.height == request.height) return image;
  log_info("init-image-resized", cat("the init image is resized from ", image.width, "x",
                                     image.height, " to ", request.width, "x", request.height));
  return resize_lanczos(image, request.width, request.height);
}

/// Clean latents [B, C, h, w] of the init image: one posterior sample an image, scaled.
at::Tensor encode_image(Components& c, const Plan& plan, std::vector<ImageRandom>& randoms) {
  models::AutoencoderKL& vae = c.vae.get();
  const Execution& execution = c.vae.execution();
  configure_tiling(*vae, plan.request);
  const c10::InferenceMode inference;
  const at::Tensor pixels = image_to_tensor(fitted_image(plan.request))
                                .to(execution.device, execution.dtype)
                                .contiguous(execution.memory_format);
  const nn::DiagonalGaussian posterior = vae->encode(pixels);
  std::vector<at::Tensor> samples;
  for (ImageRandom& random : randoms) {
    const at::Tensor noise = random.randn(posterior.mean.sizes());
    samples.push_back(posterior.sample(noise.to(execution.device)).to(at::kFloat));
  }
  const at::Tensor latents = at::cat(samples) * vae->config.scaling_factor;
  if (all_finite(latents)) return latents;
  throw Error::non_finite("the encoded init image became NaN or Inf", "try --dtype fp32");
}

}  // namespace

void configure_tiling(models::AutoencoderKLImpl& vae, const Request& request) {
  const std::int64_t pixels = std::int64_t{request.width} * request.height;
  const bool large = pixels > kAutoTilingPixels;
  vae.use_tiling =
      request.vae_tiling == VaeTiling::kOn || (request.vae_tiling == VaeTiling::kAuto && large);
}

at::Tensor start_latents(Components& c, const Plan& plan, const PlannedScheduler& planned,
                         int first, std::vector<ImageRandom>& randoms) {
  const Request& request = plan.request;
  const c10::Device device = c.execution.device;
  const auto count = static_cast<int>(randoms.size());
  if (!request.is_image_to_image()) {
    const at::Tensor noise = request.init_latents
                                 ? latents_to_tensor(*request.init_latents, first, count)
                                 : randn_each(randoms, plan.latent_shape);
    return noise.to(device) * planned.scheduler->init_noise_sigma();
  }
  const at::Tensor clean = request.init_image
                               ? encode_image(c, plan, randoms)
                               : latents_to_tensor(*request.init_latents, first, count).to(device);
  const at::Tensor noise = randn_each(randoms, plan.latent_shape).to(device);
  if (plan.timesteps.empty()) return clean;
  return planned.scheduler->add_noise(clean, noise, planned.begin);
}

}  // namespace ldm
