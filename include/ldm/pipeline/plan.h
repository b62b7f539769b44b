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
/// the request's overrides, and its timesteps.
PlannedScheduler make_planned_scheduler(const Components& components, const Request& request);

/// Resolves and checks a request against a model; reads no weights. Throws Error::usage naming all
/// values that cannot work, Error::input for a prompt that must not be cut.
Plan make_plan(const Components& components, const Request& request);

}  // namespace ldm
