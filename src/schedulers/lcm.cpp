#include <ATen/TensorOperators.h>

#include <cmath>

#include "ldm/schedulers/distilled_scheduler.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

constexpr double kSigmaData = 0.5;  // of the boundary condition, in the public class as well

/// Multistep latent consistency sampling: the model's x_0, then noise up to the next level (Luo et
/// al. 2023, Algorithm 3). Matches LCMScheduler.
class LCMScheduler : public DistilledScheduler {
 public:
  using DistilledScheduler::DistilledScheduler;

  bool needs_noise(int i) const override { return !is_last(i); }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const float alpha_prod = alpha_cumprod(timestep(i));
    const at::Tensor x0 =
        limit_x0(config_, predict_x0(prediction_type(), model_output, sample, sqrt_fp32(alpha_prod),
                                     sqrt_fp32(1 - alpha_prod)));
    const double scaled = timestep(i) * config_.timestep_scaling;
    const double spread = scaled * scaled + kSigmaData * kSigmaData;
    const double skip = kSigmaData * kSigmaData / spread;
    const at::Tensor denoised = scaled / std::sqrt(spread) * x0 + skip * sample;
    if (is_last(i)) return denoised;
    const float alpha_prod_next = alpha_cumprod(timestep(i + 1));
    return sqrt_fp32(alpha_prod_next) * denoised + sqrt_fp32(1 - alpha_prod_next) * noise;
  }
};

}  // namespace

SchedulerConfig lcm_defaults() { return distilled_defaults(); }

std::unique_ptr<Scheduler> make_lcm(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<LCMScheduler>(config, options.schedule);
}

}  // namespace ldm
