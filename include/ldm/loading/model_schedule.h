#pragma once

#include "ldm/loading/model_files.h"
#include "ldm/schedulers/registry.h"

namespace ldm {

/// The row of the sampler that the model's scheduler_config.json names. Throws Error::model.
const SamplerEntry& default_sampler(const ModelFiles& files);

/// The model's noise schedule with `sampler`'s defaults for whatever the file leaves out. Throws
/// Error::model.
SchedulerConfig scheduler_config(const ModelFiles& files, const SamplerEntry& sampler);

}  // namespace ldm
