#include <ATen/TensorOperators.h>

#include <cmath>
#include <vector>

#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {
namespace {

constexpr std::size_t kMostKept = 3;

/// DPM-Solver++ on the reverse SDE, third-order multistep with noise of one Brownian path
/// (k-diffusion's sample_dpmpp_3m_sde). diffusers' nearest, DPMSolverMultistepScheduler with
/// sde-dpmsolver++ and order 3, has the other sign in its second difference.
class DPMSolverPP3MSDEScheduler : public SigmaScheduler {
 public:
  using SigmaScheduler::SigmaScheduler;

  bool needs_noise(int i) const override { return sigma(i + 1) > 0; }
  std::optional<NoiseInterval> noise_interval(int i) const override {
    return NoiseInterval{sigma(i), sigma(i + 1)};
  }

 protected:
  void reset() override {
    x0_.clear();
    steps_.clear();
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const at::Tensor x0 = predict_x0(model_output, i, sample);
    if (sigma(i + 1) == 0) return x0;
    const double h = std::log(static_cast<double>(sigma(i)) / sigma(i + 1));
    // A level that rounding repeats is no step.
    if (h == 0) return sample;
    remember(x0, h);
    const double gain = -std::expm1(-2 * h);
    const at::Tensor next =
        std::exp(-2 * h) * sample + gain * x0 + noise * std::sqrt(gain) * sigma(i + 1);
    return x0_.size() > 1 ? next + differences(2 * h) : next;
  }

 private:
  void remember(const at::Tensor& x0, double h) {
    x0_.insert(x0_.begin(), x0);
    steps_.insert(steps_.begin(), h);
    if (x0_.size() <= kMostKept) return;
    x0_.pop_back();
    steps_.pop_back();
  }

  /// What the slope and the bend of x_0 over the last levels add to a step of 2h, noise included.
  at::Tensor differences(double h_eta) const {
    const double phi_2 = std::expm1(-h_eta) / h_eta + 1;
    const double r0 = steps_[1] / steps_[0];
    const at::Tensor d1_0 = (x0_[0] - x0_[1]) / r0;
    if (x0_.size() == 2) return phi_2 * d1_0;
    const double r1 = steps_[2] / steps_[0];
    const at::Tensor bend = (d1_0 - (x0_[1] - x0_[2]) / r1) / (r0 + r1);
    return phi_2 * (d1_0 + r0 * bend) - (phi_2 / h_eta - 0.5) * bend;
  }

  std::vector<at::Tensor> x0_;  // newest first
  std::vector<double> steps_;   // their steps in log σ
};

}  // namespace

// Its extrapolation over uneven steps in log σ makes noise of most other spacings; AUTOMATIC1111
// chooses this one as well.
SchedulerConfig dpmpp_3m_sde_defaults() {
  SchedulerConfig config = euler_defaults();
  config.use_exponential_sigmas = true;
  return config;
}

std::unique_ptr<Scheduler> make_dpmpp_3m_sde(const SchedulerConfig& config,
                                             const SamplerOptions& options) {
  SchedulerConfig known = plain_levels(config);
  const bool other =
      known.use_karras_sigmas.value_or(false) || known.use_beta_sigmas.value_or(false);
  if (other) known.use_exponential_sigmas = false;
  return std::make_unique<DPMSolverPP3MSDEScheduler>(known, options.schedule);
}

}  // namespace ldm
