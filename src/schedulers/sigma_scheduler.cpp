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

SigmaScheduler::SigmaScheduler(const SchedulerConfig& config)
    : Scheduler(config),
      prediction_type_(parse_prediction_type(config.prediction_type)),
      training_sigmas_(training_sigmas(alphas_cumprod_table(config, false))) {
  sigma_spacing(config);
  final_sigma(config, training_sigmas_);
}

void SigmaScheduler::set_timesteps(int num_inference_steps) {
  start_plan(num_inference_steps);
  timesteps_ = spaced_timesteps(config_, num_inference_steps);
  for (double& t : timesteps_) t = static_cast<float>(t);
  sigmas_ = interpolated_sigmas(timesteps_);

  const SigmaSpacing spacing = sigma_spacing(config_);
  if (spacing != SigmaSpacing::kTimesteps) {
    sigmas_ = spaced_sigmas(spacing, config_.sigma_max.value_or(sigmas_.front()),
                            config_.sigma_min.value_or(sigmas_.back()), num_inference_steps);
    timesteps_ = timesteps_at_sigmas(sigmas_, training_sigmas_);
  }
  // log_linear brings its own end, one level above where the others end.
  if (sigmas_.size() == timesteps_.size()) {
    sigmas_.push_back(final_sigma(config_, training_sigmas_));
  }
  for (double& sigma : sigmas_) sigma = static_cast<float>(sigma);

  const bool continuous =
      config_.timestep_type == "continuous" && prediction_type_ == PredictionType::kVPrediction;
  for (std::size_t i = 0; i < timesteps_.size(); ++i) {
    timesteps_[i] = continuous ? 0.25F * log_fp32(static_cast<float>(sigmas_[i]))
                               : static_cast<float>(timesteps_[i]);
  }
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
  if (config_.timestep_spacing != "leading") return highest;
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

}  // namespace ldm
