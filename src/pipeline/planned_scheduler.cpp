#include "ldm/pipeline/planned_scheduler.h"

#include <algorithm>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/loading/model_schedule.h"
#include "ldm/pipeline/compat.h"
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

/// EDM's preconditioning is trained in: no other model answers to it.
void refuse_other_models(const SamplerEntry& row, const ModelFiles& files) {
  if (row.traits.levels != LevelChoice::kContinuous) return;
  const auto name = files.scheduler_config.find("_class_name");
  const bool named = name != files.scheduler_config.end() && name->is_string();
  const std::string trained = named ? name->get<std::string>() : std::string();
  if (trained.starts_with("EDM")) return;
  throw Error::usage(
      cat(row.name, " is for models trained with EDM's preconditioning; this one has ",
          trained.empty() ? "no such scheduler" : trained),
      "--sampler euler --schedule karras");
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
  const Compat& compat = compat_of(request);
  if (!compat.spacing.empty()) config.timestep_spacing = compat.spacing;
  if (compat.ends_at_first_alpha) config.set_alpha_to_one = false;
  const SchedulerOverrides& over = request.scheduler;
  if (over.timestep_spacing) config.timestep_spacing = *over.timestep_spacing;
  if (over.prediction_type) config.prediction_type = *over.prediction_type;
  if (over.rescale_betas_zero_snr) config.rescale_betas_zero_snr = *over.rescale_betas_zero_snr;
  refuse_other_models(row, c.files);
  ScheduleChoice schedule = request.schedule;
  const bool in_sigma =
      row.traits.levels == LevelChoice::kAll || row.traits.levels == LevelChoice::kNamed;
  if (in_sigma && over.timestep_spacing && compat.style != LevelStyle::kPublicClass) {
    throw Error::usage(cat("--timestep-spacing and --compat ", request.compat, " both say how ",
                           row.name, " spaces its levels"),
                       "give one of them");
  }
  schedule.style = compat.style;
  PlannedScheduler planned;
  planned.row = &row;
  planned.scheduler = row.make(config, {.eta = request.eta, .schedule = schedule});
  planned.num_inference_steps = planned_steps(plan, config.num_train_timesteps);
  planned.scheduler->set_timesteps(planned.num_inference_steps);
  if (plan.image_to_image) planned.begin = planned.scheduler->begin_at_strength(*request.strength);
  return planned;
}

}  // namespace ldm
