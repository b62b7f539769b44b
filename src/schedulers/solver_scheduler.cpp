#include "ldm/schedulers/solver_scheduler.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {

SolverScheduler::SolverScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
    : Scheduler(config),
      choice_(choice),
      prediction_type_(parse_prediction_type(config.prediction_type)),
      training_sigmas_(training_sigmas(alphas_cumprod_table(config, false))) {
  sigma_spacing(config, choice);
  final_sigma(config, training_sigmas_);
}

NoiseLevels SolverScheduler::planned_levels(int count, SigmaSpacing spacing) const {
  const bool public_class = choice_.style == LevelStyle::kPublicClass;
  if (!public_class && spacing == SigmaSpacing::kTimesteps) {
    return styled_levels(choice_.style, count, training_sigmas_);
  }
  if (spacing == SigmaSpacing::kTimesteps) {
    NoiseLevels levels;
    levels.timesteps = solver_timesteps(config_, count, last_timestep());
    keep_below(levels.timesteps, config_.num_train_timesteps - 1);
    levels.sigmas = interpolate(levels.timesteps, training_sigmas_);
    return levels;
  }
  const SigmaRange range = {config_.sigma_max.value_or(training_sigmas_.back()),
                            config_.sigma_min.value_or(training_sigmas_.front())};
  NoiseLevels levels = spaced_levels(spacing, choice_, range, count, training_sigmas_);
  // diffusers cuts off the fraction of these, as whole numbers are made of them unrounded.
  const bool cut = public_class && (spacing == SigmaSpacing::kExponential ||
                                    spacing == SigmaSpacing::kBeta || !rounds_timesteps());
  if (choice_.style == LevelStyle::kKDiffusion) return levels;
  for (double& t : levels.timesteps) {
    t = cut ? std::trunc(t) : std::nearbyint(t);
  }
  return levels;
}

void SolverScheduler::set_timesteps(int num_inference_steps) {
  start_plan(num_inference_steps);
  const int last = last_timestep();
  if (num_inference_steps > last) {
    throw Error::usage(cat("number of steps ", num_inference_steps, " is above ", last,
                           ", what lambda_min_clipped leaves"),
                       cat("--steps ", last));
  }
  const SigmaSpacing spacing = sigma_spacing(config_, choice_);
  NoiseLevels levels = planned_levels(num_inference_steps, spacing);
  levels.sigmas.resize(levels.timesteps.size());
  levels.sigmas.push_back(end_sigma(spacing, levels.sigmas.back()));
  for (double& sigma : levels.sigmas) sigma = static_cast<float>(sigma);
  timesteps_ = std::move(levels.timesteps);
  sigmas_ = std::move(levels.sigmas);
}

double SolverScheduler::end_sigma(SigmaSpacing, double) const {
  return final_sigma(config_, training_sigmas_);
}

SolverLevel SolverScheduler::level(int i) const {
  return solver_level(static_cast<float>(sigmas_[static_cast<std::size_t>(i)]));
}

at::Tensor SolverScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                      int i) const {
  const SolverLevel at_i = level(i);
  return at_i.alpha * original.to(at::kFloat) + at_i.sigma * noise.to(at::kFloat);
}

at::Tensor SolverScheduler::x0_at(const at::Tensor& model_output, int i,
                                  const at::Tensor& sample) const {
  const auto [alpha, sigma, lambda] = level(i);
  const at::Tensor x0 = predict_x0(prediction_type_, model_output, sample, alpha, sigma);
  return config_.thresholding ? threshold(x0) : x0;
}

at::Tensor SolverScheduler::threshold(const at::Tensor& x0) const {
  return threshold_sample(x0, config_.dynamic_thresholding_ratio, config_.sample_max_value);
}

int SolverScheduler::usable_order(int i, int order) const {
  for (int back = 0; back < order; ++back) {
    const auto at = static_cast<std::size_t>(i + 1 - back);
    if (sigmas_[at] == sigmas_[at - 1]) return std::max(back, 1);
  }
  return order;
}

}  // namespace ldm
