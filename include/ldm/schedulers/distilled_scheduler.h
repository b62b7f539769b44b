#pragma once

#include "ldm/schedulers/alpha_scheduler.h"

namespace ldm {

/// What the classes for consistency-distilled models share (LCM, TCD): timesteps chosen among those
/// that the distillation knew, original_inference_steps in number; of a longer run, among all.
class DistilledScheduler : public AlphaScheduler {
 public:
  DistilledScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
      : AlphaScheduler(config, config.set_alpha_to_one, choice) {}

 protected:
  std::vector<double> own_timesteps(int count) const override;
};

/// diffusers' defaults of these classes.
SchedulerConfig distilled_defaults();

}  // namespace ldm
