#include <ATen/TensorOperators.h>

#include <cmath>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

/// DPM-Solver++ on the reverse SDE, in two stages (Lu et al. 2022b, in k-diffusion's
/// sample_dpmpp_sde): both stages take their noise from one Brownian path. Matches
/// DPMSolverSDEScheduler given the same noise.
class DPMSolverSDEScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

  bool needs_noise(int i) const override { return !is_last(i); }

  std::optional<NoiseInterval> noise_interval(int i) const override {
    return NoiseInterval{from(i), sigma(i + 1)};
  }

 protected:
  double second_level(double from, double to) const override { return log_middle(from, to); }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const at::Tensor x0 = predict_x0(model_output, i, sample);
    if (is_last(i)) return x0;
    if (is_first(i)) keep(sample, x0);
    const AncestralStep step = ancestral_step(from(i), sigma(i + 1));
    const double ratio = step.down / from(i);
    return ratio * first().first + (1 - ratio) * x0 + noise * step.up;
  }
};

}  // namespace

SchedulerConfig dpmpp_sde_defaults() { return two_call_defaults(); }

std::unique_ptr<Scheduler> make_dpmpp_sde(const SchedulerConfig& config,
                                          const SamplerOptions& options) {
  return std::make_unique<DPMSolverSDEScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
