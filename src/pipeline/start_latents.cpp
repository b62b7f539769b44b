#include "ldm/pipeline/start_latents.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "ldm/core/random.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

at::Tensor start_latents(Components& c, const Plan& plan, const PlannedScheduler& planned,
                         int first, std::vector<ImageRandom>& randoms) {
  const Request& request = plan.request;
  const c10::Device device = c.execution.device;
  const auto count = static_cast<int>(randoms.size());
  if (!plan.image_to_image) {
    const at::Tensor noise = request.init_latents
                                 ? latents_to_tensor(*request.init_latents, first, count)
                                 : randn_each(randoms, plan.latent_shape);
    return noise.to(device) * planned.scheduler->init_noise_sigma();
  }
  configure_tiling(c.vae.get(), request.vae_tiling, request.width, request.height);
  const at::Tensor clean =
      request.init_latents
          ? latents_to_tensor(*request.init_latents, first, count).to(device)
          : sample_latents(c.vae, fitted_pixels(*request.init_image, request.width, request.height),
                           randoms);
  const at::Tensor noise = randn_each(randoms, plan.latent_shape).to(device);
  if (plan.timesteps.empty()) return clean;
  return planned.scheduler->add_noise(clean, noise, planned.begin);
}

}  // namespace ldm
