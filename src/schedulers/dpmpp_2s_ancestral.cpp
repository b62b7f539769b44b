#include <ATen/TensorOperators.h>

#include <cmath>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

/// DPM-Solver++(2S) (Lu et al. 2022b, Algorithm 1) to below the next level, then noise up to it, as
/// k-diffusion's sample_dpmpp_2s_ancestral.
class DPMSolverPP2SAncestralScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

  bool needs_noise(int i) const override { return !is_first(i); }

 protected:
  double second_level(double from, double to) const override {
    return log_middle(from, ancestral_step(static_cast<float>(from), static_cast<float>(to)).down);
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const at::Tensor x0 = predict_x0(model_output, i, sample);
    if (is_last(i)) return x0;
    if (is_first(i)) {
      keep(sample, x0);
      return towards(x0, sample, sigma(i + 1) / sigma(i));
    }
    const AncestralStep step = ancestral_step(from(i), to(i));
    return towards(x0, first().first, step.down / from(i)) + noise * step.up;
  }

 private:
  /// The exact solution for a constant x_0, from one level to `ratio` of it.
  static at::Tensor towards(const at::Tensor& x0, const at::Tensor& sample, double ratio) {
    return ratio * sample + (1 - ratio) * x0;
  }
};

}  // namespace

SchedulerConfig dpmpp_2s_ancestral_defaults() { return euler_defaults(); }

std::unique_ptr<Scheduler> make_dpmpp_2s_ancestral(const SchedulerConfig& config,
                                                   const SamplerOptions& options) {
  return std::make_unique<DPMSolverPP2SAncestralScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
