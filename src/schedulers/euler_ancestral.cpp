#include <ATen/TensorOperators.h>

#include "ldm/core/error.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {
namespace {

/// Euler's method to below the next level, then noise up to it (k-diffusion's
/// sample_euler_ancestral). Matches EulerAncestralDiscreteScheduler.
class EulerAncestralDiscreteScheduler : public SigmaScheduler {
 public:
  EulerAncestralDiscreteScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
      : SigmaScheduler(config, choice) {
    if (prediction_type() == PredictionType::kSample) {
      throw Error::usage("euler-a cannot sample with prediction_type \"sample\"",
                         "--sampler euler");
    }
  }

  bool needs_noise(int) const override { return true; }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const float from = sigma(i);
    const AncestralStep step = ancestral_step(from, sigma(i + 1));
    const at::Tensor derivative = (sample - predict_x0(model_output, i, sample)) / from;
    return sample + derivative * (step.down - from) + noise * step.up;
  }
};

}  // namespace

SchedulerConfig euler_ancestral_defaults() {
  SchedulerConfig config;
  config.timestep_spacing = "linspace";
  return config;
}

std::unique_ptr<Scheduler> make_euler_ancestral(const SchedulerConfig& config,
                                                const SamplerOptions& options) {
  SchedulerConfig known = plain_levels(config);
  known.use_karras_sigmas = known.use_exponential_sigmas = known.use_beta_sigmas = false;
  return std::make_unique<EulerAncestralDiscreteScheduler>(known, options.schedule);
}

}  // namespace ldm
