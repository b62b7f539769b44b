#include "ldm/pipeline/planned_scheduler.h"

#include <algorithm>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/loading/model_schedule.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

/// What the public pipeline of a model forces on its scheduler's config, whatever the file says.
struct ForcedFields {
  std::string_view pipeline;  ///< `_class_name` of model_index.json
  bool steps_offset;          ///< to 1
  bool clip_sample;           ///< to false
  bool skip_prk_steps;        ///< to true
};

// The last row stands for all others: StableDiffusionPipeline and its relatives.
constexpr ForcedFields kForced[] = {
    {"StableDiffusionInpaintPipeline", true, false, true},
    {"StableDiffusionInstructPix2PixPipeline", false, false, false},
    {"StableDiffusionDepth2ImgPipeline", false, false, false},
    {"StableDiffusionUpscalePipeline", false, false, false},
    {"LDMTextToImagePipeline", false, false, false},
    {"LDMClassToImagePipeline", false, false, false},
    {"LDMPipeline", false, false, false},
    {"", true, true, false},
};

const ForcedFields& forced_fields(const nlohmann::json& model_index, bool inpaints) {
  const auto name = model_index.find("_class_name");
  const bool named = name != model_index.end() && name->is_string();
  const std::string pipeline = named ? name->get<std::string>() : std::string();
  for (const ForcedFields& row : kForced) {
    if (row.pipeline == pipeline) return row;
  }
  return inpaints ? kForced[0] : std::end(kForced)[-1];
}

/// Planned steps such that `strength` of them are the steps asked for.
int planned_steps(const Plan& plan, int num_train_timesteps) {
  const Request& request = plan.request;
  const int steps = request.num_inference_steps;
  if (!plan.image_to_image || request.strength_mode == StrengthMode::kScaled) return steps;
  for (int planned = steps; planned <= num_train_timesteps; ++planned) {
    if (static_cast<int>(planned * *request.strength) >= steps) return planned;
  }
  throw Error::usage(cat("strength ", *request.strength, " cannot run ", steps,
                         " steps out of at most ", num_train_timesteps),
                     "raise --strength or lower --steps");
}

/// Index into timesteps at which img2img starts (diffusers' `get_timesteps`).
int begin_index(const Plan& plan, int planned, const Scheduler& scheduler) {
  if (!plan.image_to_image) return 0;
  const int kept = std::min(static_cast<int>(planned * *plan.request.strength), planned);
  return kept == 0 ? static_cast<int>(scheduler.timesteps().size())
                   : (planned - kept) * scheduler.order();
}

}  // namespace

PlannedScheduler make_planned_scheduler(const Components& c, const Plan& plan) {
  const Request& request = plan.request;
  const SamplerEntry& row =
      request.sampler.empty() ? default_sampler(c.files) : find_sampler(request.sampler);
  SchedulerConfig config = scheduler_config(c.files, row);
  const ForcedFields& forced = forced_fields(c.files.model_index, plan.mask != nullptr);
  if (forced.steps_offset) config.steps_offset = 1;
  if (forced.clip_sample) config.clip_sample = false;
  // PNDM cannot start inside its Runge-Kutta steps; the public class does, at a wrong noise level.
  if (forced.skip_prk_steps || plan.image_to_image) config.skip_prk_steps = true;
  const SchedulerOverrides& over = request.scheduler;
  if (over.timestep_spacing) config.timestep_spacing = *over.timestep_spacing;
  if (over.prediction_type) config.prediction_type = *over.prediction_type;
  if (over.rescale_betas_zero_snr) config.rescale_betas_zero_snr = *over.rescale_betas_zero_snr;
  PlannedScheduler planned;
  planned.row = &row;
  planned.scheduler = row.make(config, SamplerOptions{request.eta});
  planned.num_inference_steps = planned_steps(plan, config.num_train_timesteps);
  planned.scheduler->set_timesteps(planned.num_inference_steps);
  planned.begin = begin_index(plan, planned.num_inference_steps, *planned.scheduler);
  return planned;
}

}  // namespace ldm
