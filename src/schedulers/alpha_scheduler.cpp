#include "ldm/schedulers/alpha_scheduler.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {

AlphaScheduler::AlphaScheduler(const SchedulerConfig& config, bool ends_at_one)
    : Scheduler(config),
      alphas_cumprod_(alphas_cumprod_table(config, true)),
      final_alpha_cumprod_(ends_at_one ? 1.0F : alphas_cumprod_.front()) {}

std::vector<double> AlphaScheduler::whole_timesteps(int count) const {
  std::vector<double> timesteps = spaced_timesteps(config_, count);
  round_all(timesteps);
  keep_below(timesteps, config_.num_train_timesteps - 1);
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

at::Tensor AlphaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                     int i) const {
  const float alpha = alpha_cumprod(timestep(i));
  return sqrt_fp32(alpha) * original.to(at::kFloat) + sqrt_fp32(1 - alpha) * noise.to(at::kFloat);
}

}  // namespace ldm
