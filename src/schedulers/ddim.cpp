#include <ATen/TensorOperators.h>

#include "ldm/schedulers/alpha_scheduler.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

/// Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16). Matches DDIMScheduler.
class DDIMScheduler : public AlphaScheduler {
 public:
  DDIMScheduler(const SchedulerConfig& config, const SamplerOptions& options)
      : AlphaScheduler(config, config.set_alpha_to_one, options.schedule), eta_(options.eta) {}

  bool needs_noise(int) const override { return eta_ > 0; }

 protected:
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const int t = timestep(i);
    const float alpha_prod = alpha_cumprod(t);
    const float alpha_prod_prev =
        alpha_cumprod(chosen_timesteps() ? next_timestep(i)
                                         : t - config_.num_train_timesteps / num_inference_steps_);
    const float alpha = sqrt_fp32(alpha_prod);
    const float sigma = sqrt_fp32(1 - alpha_prod);

    const at::Tensor x0 =
        limit_x0(config_, predict_x0(prediction_type(), model_output, sample, alpha, sigma));
    const at::Tensor epsilon =
        predict_epsilon(prediction_type(), model_output, sample, alpha, sigma);

    const float variance =
        ((1 - alpha_prod_prev) / (1 - alpha_prod)) * (1 - alpha_prod / alpha_prod_prev);
    const float std_dev = static_cast<float>(eta_) * sqrt_fp32(variance);
    const float direction = sqrt_fp32(1 - alpha_prod_prev - std_dev * std_dev);
    const at::Tensor prev = sqrt_fp32(alpha_prod_prev) * x0 + direction * epsilon;
    return eta_ > 0 ? prev + std_dev * noise : prev;
  }

 private:
  double eta_;
};

}  // namespace

SchedulerConfig ddim_defaults() { return {}; }

std::unique_ptr<Scheduler> make_ddim(const SchedulerConfig& config, const SamplerOptions& options) {
  return std::make_unique<DDIMScheduler>(config, options);
}

}  // namespace ldm
