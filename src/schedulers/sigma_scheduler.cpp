#include "ldm/schedulers/sigma_scheduler.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linspace.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/sigma_spacing.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {

SigmaScheduler::SigmaScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
    : Scheduler(config),
      choice_(choice),
      prediction_type_(parse_prediction_type(config.prediction_type)),
      training_sigmas_(training_sigmas(alphas_cumprod_table(config, false))) {
  sigma_spacing(config, choice);
  final_sigma(config, training_sigmas_);
}

NoiseLevels SigmaScheduler::planned_levels(int count) const {
  NoiseLevels levels;
  levels.timesteps = spaced_timesteps(config_, count);
  for (double& t : levels.timesteps) t = static_cast<float>(t);
  levels.sigmas = interpolated_sigmas(levels.timesteps);

  const SigmaSpacing spacing = sigma_spacing(config_, choice_);
  if (choice_.style != LevelStyle::kPublicClass) {
    levels = styled(spacing, count);
  } else if (spacing != SigmaSpacing::kTimesteps) {
    // diffusers re-spaces the levels that the timesteps have; it knows no polyexponential.
    const bool whole = spacing == SigmaSpacing::kPolyexponential;
    const double highest = whole ? training_sigmas_.back() : levels.sigmas.front();
    const double lowest = whole ? training_sigmas_.front() : levels.sigmas.back();
    const SigmaRange range = {config_.sigma_max.value_or(highest),
                              config_.sigma_min.value_or(lowest)};
    levels = spaced_levels(spacing, choice_, range, count, training_sigmas_);
  }
  // log_linear and listed levels bring their own end.
  if (levels.sigmas.size() == levels.timesteps.size()) {
    levels.sigmas.push_back(final_sigma(config_, training_sigmas_));
  }
  for (double& sigma : levels.sigmas) sigma = static_cast<float>(sigma);

  const bool continuous =
      config_.timestep_type == "continuous" && prediction_type_ == PredictionType::kVPrediction;
  for (std::size_t i = 0; i < levels.timesteps.size(); ++i) {
    levels.timesteps[i] = continuous ? 0.25F * log_fp32(static_cast<float>(levels.sigmas[i]))
                                     : static_cast<float>(levels.timesteps[i]);
  }
  return levels;
}

/// The levels of other tools, which know no timestep_spacing.
NoiseLevels SigmaScheduler::styled(SigmaSpacing spacing, int count) const {
  if (spacing == SigmaSpacing::kTimesteps) {
    return styled_levels(choice_.style, count, training_sigmas_);
  }
  NoiseLevels levels =
      spaced_levels(spacing, choice_, {training_sigmas_.back(), training_sigmas_.front()}, count,
                    training_sigmas_);
  if (choice_.style == LevelStyle::kComfy) round_all(levels.timesteps);
  return levels;
}

void SigmaScheduler::set_timesteps(int num_inference_steps) {
  start_plan(num_inference_steps);
  arrange(planned_levels(num_inference_steps));
}

void SigmaScheduler::arrange(const NoiseLevels& levels) {
  timesteps_ = levels.timesteps;
  sigmas_ = levels.sigmas;
}

std::vector<double> SigmaScheduler::interpolated_sigmas(
    const std::vector<double>& timesteps) const {
  if (config_.interpolation_type == "linear") return interpolate(timesteps, training_sigmas_);
  if (config_.interpolation_type != "log_linear") {
    throw Error::model(cat("interpolation_type \"", config_.interpolation_type, "\" is not known"),
                       "linear or log_linear");
  }
  const auto count = static_cast<std::int64_t>(timesteps.size());
  const at::Tensor sigmas =
      at::exp(at::linspace(log_fp32(training_sigmas_.back()), log_fp32(training_sigmas_.front()),
                           count + 1, at::kFloat));
  return {sigmas.data_ptr<float>(), sigmas.data_ptr<float>() + count + 1};
}

double SigmaScheduler::init_noise_sigma() const {
  const auto highest = static_cast<float>(*std::max_element(sigmas_.begin(), sigmas_.end()));
  const bool k_diffusion = choice_.style == LevelStyle::kKDiffusion;
  const bool public_class = choice_.style == LevelStyle::kPublicClass;
  if (k_diffusion || (public_class && config_.timestep_spacing != "leading")) return highest;
  return sqrt_fp32(highest * highest + 1);
}

at::Tensor SigmaScheduler::scale_model_input(const at::Tensor& sample, int i) const {
  return sample / sqrt_fp32(sigma(i) * sigma(i) + 1);
}

at::Tensor SigmaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                     int i) const {
  return original.to(at::kFloat) + noise.to(at::kFloat) * sigma(i);
}

at::Tensor SigmaScheduler::predict_x0(const at::Tensor& model_output, int i,
                                      const at::Tensor& sample) const {
  return predict_x0_at_sigma(prediction_type_, model_output, sample, sigma(i));
}

SchedulerConfig plain_levels(const SchedulerConfig& config) {
  SchedulerConfig plain = config;
  plain.interpolation_type = "linear";
  plain.timestep_type = "discrete";
  plain.final_sigmas_type = "zero";
  plain.sigma_min.reset();
  plain.sigma_max.reset();
  plain.use_lu_lambdas = false;
  return plain;
}

float down_or_exact(float down, float from, float to) { return down > 0 ? down : to * (to / from); }

AncestralStep ancestral_step(float from, float to) {
  const float up = sqrt_fp32(to * to * (from * from - to * to) / (from * from));
  return {down_or_exact(sqrt_fp32(to * to - up * up), from, to), up};
}

}  // namespace ldm
