#include <ATen/TensorOperators.h>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {
namespace {

/// Euler's method (Karras et al. 2022, Algorithm 2 without churn). Matches EulerDiscreteScheduler.
class EulerDiscreteScheduler : public SigmaScheduler {
 public:
  using SigmaScheduler::SigmaScheduler;

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    const at::Tensor derivative = (sample - predict_x0(model_output, i, sample)) / sigma(i);
    return sample + derivative * (sigma(i + 1) - sigma(i));
  }
};

}  // namespace

SchedulerConfig euler_defaults() {
  SchedulerConfig config;
  config.timestep_spacing = "linspace";
  return config;
}

std::unique_ptr<Scheduler> make_euler(const SchedulerConfig& config,
                                      const SamplerOptions& options) {
  SchedulerConfig known = config;
  known.use_lu_lambdas = false;  // a field this class does not have
  return std::make_unique<EulerDiscreteScheduler>(known, options.schedule);
}

}  // namespace ldm
