#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "ldm/schedulers/distilled_scheduler.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

/// Strategic stochastic sampling of trajectory consistency models: DDIM's step to (1-γ) of the next
/// timestep, then noise up to it (Zheng et al. 2024, Algorithm 4; γ is eta). Matches TCDScheduler.
class TCDScheduler : public DistilledScheduler {
 public:
  TCDScheduler(const SchedulerConfig& config, const SamplerOptions& options)
      : DistilledScheduler(config, options.schedule), gamma_(options.eta) {}

  bool needs_noise(int i) const override { return gamma_ > 0 && !is_last(i); }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const int next = std::max(0, next_timestep(i));
    const auto lower = static_cast<int>(std::floor((1 - gamma_) * next));
    const float alpha_prod = alpha_cumprod(timestep(i));
    const float alpha_prod_next = alpha_cumprod(next);
    const float alpha_prod_lower = alpha_cumprod(lower);
    const float alpha = sqrt_fp32(alpha_prod);
    const float sigma = sqrt_fp32(1 - alpha_prod);
    const at::Tensor x0 = predict_x0(prediction_type(), model_output, sample, alpha, sigma);
    const at::Tensor epsilon =
        predict_epsilon(prediction_type(), model_output, sample, alpha, sigma);
    const at::Tensor below =
        sqrt_fp32(alpha_prod_lower) * x0 + sqrt_fp32(1 - alpha_prod_lower) * epsilon;
    if (!needs_noise(i)) return below;
    const float ratio = alpha_prod_next / alpha_prod_lower;
    return sqrt_fp32(ratio) * below + sqrt_fp32(1 - ratio) * noise;
  }

 private:
  double gamma_;
};

}  // namespace

SchedulerConfig tcd_defaults() { return distilled_defaults(); }

std::unique_ptr<Scheduler> make_tcd(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<TCDScheduler>(config, options);
}

}  // namespace ldm
