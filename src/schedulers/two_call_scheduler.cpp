#include "ldm/schedulers/two_call_scheduler.h"

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {

void TwoCallScheduler::arrange(const NoiseLevels& levels) {
  timesteps_.clear();
  sigmas_.clear();
  const std::size_t steps = levels.timesteps.size();
  for (std::size_t k = 0; k < steps; ++k) {
    timesteps_.push_back(levels.timesteps[k]);
    sigmas_.push_back(levels.sigmas[k]);
    const double to = levels.sigmas[k + 1];
    if (k + 1 == steps) break;
    const double second = static_cast<float>(second_level(levels.sigmas[k], to));
    double found = timesteps_at_sigmas(std::vector{second}, training_levels()).front();
    if (choice().style == LevelStyle::kComfy) found = std::nearbyint(found);
    timesteps_.push_back(second_at_end() ? levels.timesteps[k + 1] : static_cast<float>(found));
    sigmas_.push_back(second);
  }
  sigmas_.push_back(levels.sigmas.back());
}

NoiseLevels TwoCallScheduler::karras_rounded(NoiseLevels levels) const {
  const bool public_class = choice().style == LevelStyle::kPublicClass;
  const bool karras = sigma_spacing(config_, choice()) == SigmaSpacing::kKarras;
  if (karras && public_class) round_all(levels.timesteps);
  return levels;
}

float TwoCallScheduler::to(int i) const {
  return sigma(is_last(i) || !is_first(i) ? i + 1 : i + 2);
}

const std::pair<at::Tensor, at::Tensor>& TwoCallScheduler::first() const {
  if (!first_.first.defined()) {
    throw Error::internal("a sampler's second call of a step without the first");
  }
  return first_;
}

SchedulerConfig two_call_defaults() {
  SchedulerConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.timestep_spacing = "linspace";
  return config;
}

double log_middle(double from, double to) { return std::exp((std::log(from) + std::log(to)) / 2); }

}  // namespace ldm
