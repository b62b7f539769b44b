#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

/// DPM-Solver-2 to below the next level, then noise up to it (k-diffusion's
/// sample_dpm_2_ancestral). Matches KDPM2AncestralDiscreteScheduler.
class KDPM2AncestralDiscreteScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

  bool needs_noise(int i) const override { return !is_first(i); }

 protected:
  double second_level(double from, double to) const override {
    return log_middle(from, step_between(from, to).down);
  }

  void arrange(const NoiseLevels& levels) override {
    split(levels.sigmas);
    TwoCallScheduler::arrange(karras_rounded(levels));
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const at::Tensor slope = (sample - predict_x0(model_output, i, sample)) / sigma(i);
    if (is_first(i)) {
      keep(sample, slope);
      return sample + slope * (sigma(i + 1) - sigma(i));
    }
    const AncestralStep step = step_between(from(i), to(i));
    return first().first + slope * (step.down - from(i)) + noise * step.up;
  }

 private:
  /// All steps at once: ATen's root of a row rounds otherwise than that of its numbers one by one,
  /// and `down` shows it where a step is long.
  void split(const std::vector<double>& levels) {
    sigmas_from_.assign(levels.begin(), levels.end());
    const at::Tensor sigmas = at::tensor(sigmas_from_);
    const at::Tensor next = at::cat({sigmas.slice(0, 1), at::zeros(1)});
    const at::Tensor up = at::pow(
        at::pow(next, 2) * (at::pow(sigmas, 2) - at::pow(next, 2)) / at::pow(sigmas, 2), 0.5);
    const at::Tensor down = at::pow(at::pow(next, 2) - at::pow(up, 2), 0.5);
    steps_.clear();
    for (std::int64_t k = 0; k + 1 < sigmas.numel(); ++k) {
      const auto at = static_cast<std::size_t>(k);
      steps_.push_back(
          {down_or_exact(down.data_ptr<float>()[k], sigmas_from_[at], sigmas_from_[at + 1]),
           up.data_ptr<float>()[k]});
    }
  }

  AncestralStep step_between(double from, double to) const {
    const auto at = std::find(sigmas_from_.begin(), sigmas_from_.end(), static_cast<float>(from));
    const auto k = static_cast<std::size_t>(at - sigmas_from_.begin());
    if (k < steps_.size() && sigmas_from_[k + 1] == static_cast<float>(to)) return steps_[k];
    return ancestral_step(static_cast<float>(from), static_cast<float>(to));
  }

  std::vector<float> sigmas_from_;
  std::vector<AncestralStep> steps_;
};

}  // namespace

SchedulerConfig dpm2_ancestral_defaults() { return two_call_defaults(); }

std::unique_ptr<Scheduler> make_dpm2_ancestral(const SchedulerConfig& config,
                                               const SamplerOptions& options) {
  return std::make_unique<KDPM2AncestralDiscreteScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
