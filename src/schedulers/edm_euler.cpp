#include <ATen/TensorOperators.h>

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_spacing.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {
namespace {

/// Euler's method for models with EDM's preconditioning: the model is asked at ¼ log σ and its
/// output is mixed with the sample (Karras et al. 2022, eq. 7 and table 1). Matches
/// EDMEulerScheduler.
class EDMEulerScheduler : public Scheduler {
 public:
  EDMEulerScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
      : Scheduler(config), choice_(choice), sign_(config.prediction_type == "epsilon" ? 1 : -1) {
    if (config.prediction_type == "sample") {
      throw Error::usage("edm-euler cannot sample with prediction_type \"sample\"",
                         "--sampler euler");
    }
    if (config.sigma_schedule != "karras" && config.sigma_schedule != "exponential") {
      throw Error::model(cat("sigma_schedule \"", config.sigma_schedule, "\" is not known"),
                         "karras or exponential");
    }
    if (!(highest() > lowest() && lowest() > 0 && config.sigma_data > 0 && config.rho > 0)) {
      throw Error::model("sigma_max must be above sigma_min, and both, sigma_data and rho above 0");
    }
    final_sigma(config, std::vector<float>{0});
  }

  void set_timesteps(int num_inference_steps) override {
    start_plan(num_inference_steps);
    sigmas_ = levels(num_inference_steps);
    if (static_cast<int>(sigmas_.size()) == num_inference_steps) {
      sigmas_.push_back(config_.final_sigmas_type == "zero" ? 0 : sigmas_.back());
    }
    timesteps_.clear();
    for (double& sigma : sigmas_) sigma = static_cast<float>(sigma);
    for (int i = 0; i < num_inference_steps; ++i) timesteps_.push_back(0.25F * log_fp32(sigma(i)));
  }

  double init_noise_sigma() const override { return std::sqrt(highest() * highest() + 1); }

  at::Tensor scale_model_input(const at::Tensor& sample, int i) const override {
    return sample / sqrt_fp32(spread(sigma(i)));
  }

  at::Tensor estimate_x0(const at::Tensor& model_output, int i,
                         const at::Tensor& sample) const override {
    const float level = sigma(i);
    const auto data = static_cast<float>(config_.sigma_data);
    const float skip = data * data / spread(level);
    const float out = static_cast<float>(sign_) * level * data / sqrt_fp32(spread(level));
    return skip * sample.to(at::kFloat) + out * model_output.to(at::kFloat);
  }

  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override {
    return original.to(at::kFloat) + noise.to(at::kFloat) * sigma(i);
  }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    const float level = sigma(i);
    const at::Tensor x0 = estimate_x0(model_output, i, sample);
    return sample + (sample - x0) / level * (sigma(i + 1) - level);
  }

 private:
  double highest() const { return config_.sigma_max.value_or(80.0); }
  double lowest() const { return config_.sigma_min.value_or(0.002); }
  float sigma(int i) const { return static_cast<float>(sigmas_[static_cast<std::size_t>(i)]); }
  float spread(float sigma) const {
    const auto data = static_cast<float>(config_.sigma_data);
    return sigma * sigma + data * data;
  }

  std::vector<double> levels(int count) const {
    SigmaSpacing spacing = sigma_spacing(SchedulerConfig(), choice_);
    ScheduleChoice choice = choice_;
    if (spacing == SigmaSpacing::kTimesteps) {
      const bool karras = config_.sigma_schedule == "karras";
      spacing = karras ? SigmaSpacing::kKarras : SigmaSpacing::kExponential;
      choice.rho = config_.rho;
    }
    // Its timesteps follow from σ alone: any table does.
    const std::vector<float> unused = {0.002F, 80.0F};
    return spaced_levels(spacing, choice, {highest(), lowest()}, count, unused).sigmas;
  }

  ScheduleChoice choice_;
  int sign_;
};

}  // namespace

SchedulerConfig edm_euler_defaults() {
  SchedulerConfig config;
  config.sigma_min = 0.002;
  config.sigma_max = 80.0;
  return config;
}

std::unique_ptr<Scheduler> make_edm_euler(const SchedulerConfig& config,
                                          const SamplerOptions& options) {
  return std::make_unique<EDMEulerScheduler>(config, options.schedule);
}

}  // namespace ldm
