#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

/// Heun's method: Euler's step, then the same step along the mean of the slopes at both ends
/// (Karras et al. 2022, Algorithm 1). Matches HeunDiscreteScheduler.
class HeunDiscreteScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

 protected:
  bool second_at_end() const override { return true; }
  double second_level(double, double to) const override { return to; }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    at::Tensor x0 = predict_x0(model_output, i, sample);
    if (config_.clip_sample) {
      x0 = at::clamp(x0, -config_.clip_sample_range, config_.clip_sample_range);
    }
    const at::Tensor slope = (sample - x0) / sigma(i);
    const float dt = to(i) - from(i);
    if (is_first(i)) {
      keep(sample, slope);
      return sample + slope * dt;
    }
    const auto& [start, first_slope] = first();
    return start + (first_slope + slope) / 2 * dt;
  }
};

}  // namespace

SchedulerConfig heun_defaults() {
  SchedulerConfig config = two_call_defaults();
  config.clip_sample = false;
  return config;
}

std::unique_ptr<Scheduler> make_heun(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<HeunDiscreteScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
