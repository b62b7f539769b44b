#pragma once

#include <memory>

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;
struct SamplerEntry;
class Scheduler;

/// A scheduler with its timesteps set for one request.
struct PlannedScheduler {
  const SamplerEntry* row = nullptr;
  std::shared_ptr<Scheduler> scheduler;
  int num_inference_steps = 0;  ///< planned, before `strength` takes its share
  int begin = 0;                ///< index of the first timestep that is run
};

/// The sampler that a request means with this model: its row, the trained schedule's fields with
/// the request's overrides and those that the model's public pipeline forces, and its timesteps.
/// `plan` has `request` and `image_to_image` filled in. Throws Error::usage.
PlannedScheduler make_planned_scheduler(const Components& components, const Plan& plan);

}  // namespace ldm
