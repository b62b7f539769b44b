#pragma once

#include <string>

#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/request.h"

namespace ldm {

/// Reads the prompts of `plan.request` into `plan.prompts`, `negative_prompt` and `chunks`, the
/// words at each UNet call of `scheduler`; prompts that AND joins make the plan guided. Throws
/// Error::input for a prompt that must not be cut, and where its syntax is wrong.
void plan_prompts(Plan& plan, const Components& components, const PlannedScheduler& scheduler);

}  // namespace ldm
