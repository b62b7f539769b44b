#include "ldm/schedulers/alpha_scheduler.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/sigma_spacing.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {

AlphaScheduler::AlphaScheduler(const SchedulerConfig& config, bool ends_at_one,
                               const ScheduleChoice& choice)
    : Scheduler(config),
      choice_(choice),
      prediction_type_(parse_prediction_type(config.prediction_type)),
      alphas_cumprod_(alphas_cumprod_table(config, true)),
      final_alpha_cumprod_(ends_at_one ? 1.0F : alphas_cumprod_.front()) {}

void AlphaScheduler::set_timesteps(int num_inference_steps) {
  start_plan(num_inference_steps);
  timesteps_ =
      chosen_timesteps() ? chosen(num_inference_steps) : own_timesteps(num_inference_steps);
  if (prediction_type_ == PredictionType::kEpsilon && alpha_cumprod(timestep(0)) == 0) {
    throw Error::usage(
        cat("timestep ", timestep(0),
            " has zero terminal SNR, where prediction_type epsilon says nothing of the picture"),
        "--prediction-type v_prediction for a model that was trained so, or --timestep-spacing "
        "leading");
  }
  derive_sigmas();
}

std::vector<double> AlphaScheduler::own_timesteps(int count) const {
  std::vector<double> timesteps = spaced_timesteps(config_, count);
  round_all(timesteps);
  keep_below(timesteps, config_.num_train_timesteps - 1);
  return timesteps;
}

std::vector<double> AlphaScheduler::chosen(int count) const {
  SchedulerConfig finite = config_;
  finite.rescale_betas_zero_snr = false;
  const std::vector<float> sigmas = training_sigmas(alphas_cumprod_table(finite, true));
  const SigmaSpacing spacing = sigma_spacing(config_, choice_);
  const std::vector<double> ays = published_ays_timesteps();
  const bool published = spacing == SigmaSpacing::kAys && config_.num_train_timesteps == 1000 &&
                         count == static_cast<int>(ays.size());
  if (published) return ays;
  std::vector<double> timesteps = spaced_levels(spacing, choice_, {}, count, sigmas).timesteps;
  round_all(timesteps);
  return timesteps;
}

void AlphaScheduler::derive_sigmas() {
  const auto sigma = [](double alpha) { return std::sqrt((1 - alpha) / alpha); };
  sigmas_.clear();
  for (const double t : timesteps_) sigmas_.push_back(sigma(alpha_cumprod(static_cast<int>(t))));
  sigmas_.push_back(sigma(final_alpha_cumprod_));
}

float AlphaScheduler::alpha_cumprod(int t) const {
  if (t < 0) return final_alpha_cumprod_;
  return alphas_cumprod_[std::min(static_cast<std::size_t>(t), alphas_cumprod_.size() - 1)];
}

int AlphaScheduler::next_timestep(int i) const { return is_last(i) ? -1 : timestep(i + 1); }

at::Tensor AlphaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                     int i) const {
  const float alpha = alpha_cumprod(timestep(i));
  return sqrt_fp32(alpha) * original.to(at::kFloat) + sqrt_fp32(1 - alpha) * noise.to(at::kFloat);
}

}  // namespace ldm
