#include "ldm/schedulers/distilled_scheduler.h"

#include <cmath>

namespace ldm {

std::vector<double> DistilledScheduler::own_timesteps(int count) const {
  const int total = config_.num_train_timesteps;
  const int original = config_.original_inference_steps;
  const int known = count > original || original > total ? total : original;
  const int apart = total / known;
  std::vector<double> timesteps;
  for (int i = 0; i < count; ++i) {
    const double index = std::floor(i * (static_cast<double>(known) / count));
    timesteps.push_back((known - index) * apart - 1);
  }
  return timesteps;
}

SchedulerConfig distilled_defaults() {
  SchedulerConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  config.clip_sample = false;
  return config;
}

}  // namespace ldm
