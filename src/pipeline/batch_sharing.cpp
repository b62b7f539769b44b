#include <algorithm>
#include <tuple>

#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/plan.h"

namespace ldm {
namespace {

/// What all images of a batch must agree in, beside the shapes that follow from it.
auto batch_key(const Plan& plan) {
  const Request& r = plan.request;
  return std::tie(plan.scheduler_class, r.sampler, r.compat, plan.timesteps, plan.sigmas,
                  plan.latent_shape, plan.branches, plan.chunks, r.guidance_scale,
                  r.guidance_rescale, r.guidance_start, r.guidance_end, r.pag_scale, r.pag_layers,
                  r.sag_scale, r.freeu, r.deep_cache, r.eta, r.width, r.height,
                  r.scheduler.timestep_spacing, r.scheduler.prediction_type,
                  r.scheduler.rescale_betas_zero_snr, r.hires, r.tile, r.strength_mode,
                  r.vae_tiling, r.low_memory);
}

}  // namespace

bool Pipeline::can_share_batch(const Plan& a, const Plan& b) {
  const auto stands_alone = [](const Plan& plan) {
    return plan.image_to_image || plan.request.init_latents || plan.request.init_image ||
           plan.condition != ImageCondition::kNone || !plan.request.control_images.empty() ||
           !plan.heatmap_tokens.empty();
  };
  const auto same_weight = [](const PromptTimeline& one, const PromptTimeline& other) {
    return one.weight == other.weight;
  };
  return !stands_alone(a) && !stands_alone(b) && batch_key(a) == batch_key(b) &&
         a.request.loras == b.request.loras &&
         std::equal(a.prompts.begin(), a.prompts.end(), b.prompts.begin(), b.prompts.end(),
                    same_weight) &&
         a.last_pass().chunks == b.last_pass().chunks;
}

}  // namespace ldm
