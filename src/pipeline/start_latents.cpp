#include "ldm/pipeline/start_latents.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <optional>

#include "ldm/core/random.h"
#include "ldm/loading/components.h"
#include "ldm/nn/diagonal_gaussian.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/repainting.h"
#include "ldm/pipeline/second_pass.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

at::Tensor start_latents(Components& c, const Plan& plan, const PlannedScheduler& planned,
                         int first, std::vector<ImageRandom>& randoms, const at::Tensor& before,
                         LatentBlend& keep) {
  const Request& request = plan.request;
  const c10::Device device = c.execution.device;
  const auto count = static_cast<int>(randoms.size());
  const Scheduler& scheduler = *planned.scheduler;
  at::Tensor clean;
  std::optional<nn::DiagonalGaussian> posterior;
  if (before.defined()) {
    clean = enlarged_latents(c, plan, before, randoms);
  } else if (request.init_latents) {
    clean = latents_to_tensor(*request.init_latents, first, count).to(device);
  } else if (plan.image_to_image || plan.blends()) {
    configure_autoencoder(c.vae, request);
    posterior =
        encode_pixels(c.vae, fitted_pixels(*request.init_image, request.width, request.height));
    clean = sample_posterior(*posterior, c.vae.bare().shape().scaling_factor, randoms);
  }
  if (request.init_latents && !plan.image_to_image) {
    return clean * scheduler.init_noise_sigma();
  }
  const at::Tensor noise = randn_each(randoms, plan.latent_shape).to(device);
  if (plan.blends() && !posterior->is_point()) {
    for (ImageRandom& random : randoms) random.randn(posterior->mean.sizes());
  }
  if (plan.blends()) {
    keep = [clean, noise, mask = latent_mask(plan).to(device)](const at::Tensor& latents,
                                                               const Scheduler& now, int next) {
      return blend_kept(latents, clean, noise, mask, now, next);
    };
  }
  if (!plan.image_to_image) return noise * scheduler.init_noise_sigma();
  if (plan.timesteps.empty()) return clean;
  return scheduler.add_noise(clean, noise, planned.begin);
}

}  // namespace ldm
