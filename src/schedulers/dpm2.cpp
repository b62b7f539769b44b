#include <ATen/TensorOperators.h>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

/// DPM-Solver-2: to the middle of the step in log σ, then the whole step along the slope there (Lu
/// et al. 2022a, Algorithm 1, in the form of Karras et al. 2022). Matches KDPM2DiscreteScheduler.
class KDPM2DiscreteScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

 protected:
  double second_level(double from, double to) const override { return log_middle(from, to); }

  void arrange(const NoiseLevels& levels) override {
    TwoCallScheduler::arrange(karras_rounded(levels));
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    const at::Tensor slope = (sample - predict_x0(model_output, i, sample)) / sigma(i);
    if (!is_first(i)) return first().first + slope * (to(i) - from(i));
    keep(sample, slope);
    return sample + slope * (sigma(i + 1) - sigma(i));
  }
};

}  // namespace

SchedulerConfig dpm2_defaults() { return two_call_defaults(); }

std::unique_ptr<Scheduler> make_dpm2(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<KDPM2DiscreteScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
