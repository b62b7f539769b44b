#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/alpha_scheduler.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

constexpr float kSmallestVariance = 1e-20F;

/// Ancestral sampling (Ho et al. 2020, eq. 7). Matches DDPMScheduler.
class DDPMScheduler : public AlphaScheduler {
 public:
  DDPMScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
      : AlphaScheduler(config, true, choice),
        variance_type_(config.variance_type.value_or("fixed_small")) {
    const std::vector<std::string> names = {"fixed_small",     "fixed_small_log", "fixed_large",
                                            "fixed_large_log", "learned",         "learned_range"};
    if (std::find(names.begin(), names.end(), variance_type_) == names.end()) {
      throw Error::model(cat("variance_type \"", variance_type_, "\" is not known"),
                         did_you_mean(variance_type_, names));
    }
  }

  bool needs_noise(int i) const override { return timestep(i) > 0; }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const auto [prediction, predicted_variance] = split_variance(model_output, sample.size(1));
    const int t = timestep(i);
    const float alpha_prod = alpha_cumprod(t);
    const float alpha_prod_prev = alpha_cumprod(next_timestep(i));
    const float beta_prod = 1 - alpha_prod;
    const float beta_prod_prev = 1 - alpha_prod_prev;
    const float current_alpha = alpha_prod / alpha_prod_prev;
    const float current_beta = 1 - current_alpha;

    const at::Tensor x0 =
        limit_x0(config_, predict_x0(prediction_type(), prediction, sample, sqrt_fp32(alpha_prod),
                                     sqrt_fp32(beta_prod)));
    const float x0_coefficient = sqrt_fp32(alpha_prod_prev) * current_beta / beta_prod;
    const float sample_coefficient = sqrt_fp32(current_alpha) * beta_prod_prev / beta_prod;
    const at::Tensor mean = x0_coefficient * x0 + sample_coefficient * sample;
    if (t <= 0) return mean;

    const float posterior = std::max(beta_prod_prev / beta_prod * current_beta, kSmallestVariance);
    if (predicted_variance.defined()) {
      return mean + learned_std(predicted_variance, posterior, current_beta) * noise;
    }
    return mean + fixed_std(posterior, current_beta) * noise;
  }

 private:
  bool learned() const { return variance_type_ == "learned" || variance_type_ == "learned_range"; }

  std::pair<at::Tensor, at::Tensor> split_variance(const at::Tensor& model_output,
                                                   std::int64_t channels) const {
    if (!learned()) return {model_output, {}};
    if (model_output.size(1) != 2 * channels) {
      throw Error::model(cat("variance_type \"", variance_type_, "\" needs ", 2 * channels,
                             " output channels; the model has ", model_output.size(1)));
    }
    return {model_output.narrow(1, 0, channels), model_output.narrow(1, channels, channels)};
  }

  float fixed_std(float posterior, float current_beta) const {
    if (variance_type_ == "fixed_small_log") return exp_fp32(0.5F * log_fp32(posterior));
    if (variance_type_ == "fixed_small") return sqrt_fp32(posterior);
    return sqrt_fp32(current_beta);
  }

  at::Tensor learned_std(const at::Tensor& predicted, float posterior, float current_beta) const {
    if (variance_type_ == "learned") return at::sqrt(predicted);
    const at::Tensor fraction = (predicted + 1) / 2;
    return at::exp(0.5 *
                   (fraction * log_fp32(current_beta) + (1 - fraction) * log_fp32(posterior)));
  }

  std::string variance_type_;
};

}  // namespace

SchedulerConfig ddpm_defaults() {
  SchedulerConfig config;
  config.variance_type = "fixed_small";
  return config;
}

std::unique_ptr<Scheduler> make_ddpm(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<DDPMScheduler>(config, options.schedule);
}

}  // namespace ldm
