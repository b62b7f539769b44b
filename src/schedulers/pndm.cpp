#include <ATen/TensorOperators.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/adams_bashforth.h"
#include "ldm/schedulers/alpha_scheduler.h"
#include "ldm/schedulers/history.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/samplers.h"

namespace ldm {
namespace {

constexpr int kRungeKuttaSteps = 3;  // of four model calls each
constexpr std::size_t kHistory = 4;

/// Pseudo numerical methods for diffusion models (Liu et al. 2022, eq. 9, 12, 13): three
/// Runge-Kutta steps, or with skip_prk_steps one Heun-like step, then linear multistep. Matches
/// PNDMScheduler.
class PNDMScheduler : public AlphaScheduler {
 public:
  explicit PNDMScheduler(const SchedulerConfig& config)
      : AlphaScheduler(config, config.set_alpha_to_one) {
    if (prediction_type() == PredictionType::kSample) {
      throw Error::usage("pndm cannot sample with prediction_type \"sample\"", "--sampler ddim");
    }
  }

 protected:
  std::vector<double> own_timesteps(int count) const override {
    const std::vector<double> plain = AlphaScheduler::own_timesteps(count);
    return config_.skip_prk_steps ? repeat_second(plain) : with_runge_kutta(plain);
  }

  void reset() override {
    history_.clear();
    sum_ = at::Tensor();
    base_sample_ = at::Tensor();
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    if (config_.skip_prk_steps) return step_plms(model_output, i, sample);
    if (begin_index() > 0) {
      throw Error::usage("pndm cannot start inside its Runge-Kutta steps",
                         "--sampler ddim, or skip_prk_steps in the scheduler's config");
    }
    return i < 4 * kRungeKuttaSteps ? step_prk(model_output, i, sample)
                                    : step_plms(model_output, i, sample);
  }

 private:
  static std::vector<double> repeat_second(std::vector<double> timesteps) {
    if (timesteps.size() > 1) timesteps.insert(timesteps.begin() + 1, timesteps[1]);
    return timesteps;
  }

  std::vector<double> with_runge_kutta(const std::vector<double>& plain) const {
    if (plain.size() <= kRungeKuttaSteps) {
      throw Error::usage(
          cat("pndm with Runge-Kutta steps needs at least 4 steps, not ", plain.size()),
          "--steps 4, or skip_prk_steps in the scheduler's config");
    }
    std::vector<double> timesteps;
    for (std::size_t k = 0; k < kRungeKuttaSteps; ++k) {
      const double middle = plain[k + 1] + half_step();
      timesteps.insert(timesteps.end(), {plain[k], middle, middle, plain[k + 1]});
    }
    timesteps.insert(timesteps.end(), plain.begin() + kRungeKuttaSteps, plain.end());
    return timesteps;
  }

  int whole_step() const { return config_.num_train_timesteps / num_inference_steps_; }
  int half_step() const { return whole_step() / 2; }

  at::Tensor step_prk(const at::Tensor& model_output, int i, const at::Tensor& sample) {
    const int base = timestep(i / 4 * 4);
    const int previous = timestep(i) - (i % 2 == 0 ? half_step() : 0);
    at::Tensor slope = model_output;
    switch (i % 4) {
      case 0:
        history_.insert(history_.begin(), model_output);
        base_sample_ = sample;
        sum_ = (1.0 / 6) * model_output;
        break;
      case 3:
        slope = sum_ + (1.0 / 6) * model_output;
        break;
      default:
        sum_ = sum_ + (1.0 / 3) * model_output;
    }
    return transfer(base_sample_, base, previous, slope);
  }

  at::Tensor step_plms(const at::Tensor& model_output, int i, const at::Tensor& sample) {
    const int calls_before = i - begin_index();
    const int t = timestep(i);
    if (calls_before == 1) {
      // The second call stands where the first step ended, and repeats that step with the mean
      // slope.
      return transfer(base_sample_, t + whole_step(), t, (model_output + history_.front()) / 2);
    }
    if (calls_before == 0) base_sample_ = sample;
    remember(history_, model_output, kHistory);
    return transfer(sample, t, t - whole_step(), adams_bashforth(history_));
  }

  /// x at `previous` from x at `t` along `model_output`, eq. 9.
  at::Tensor transfer(const at::Tensor& sample, int t, int previous,
                      const at::Tensor& model_output) const {
    const float alpha_prod = alpha_cumprod(t);
    const float alpha_prod_prev = alpha_cumprod(previous);
    const float beta_prod = 1 - alpha_prod;
    const float beta_prod_prev = 1 - alpha_prod_prev;
    const at::Tensor epsilon = predict_epsilon(prediction_type(), model_output, sample,
                                               sqrt_fp32(alpha_prod), sqrt_fp32(beta_prod));
    const float denominator = alpha_prod * sqrt_fp32(beta_prod_prev) +
                              sqrt_fp32(alpha_prod * beta_prod * alpha_prod_prev);
    return sqrt_fp32(alpha_prod_prev / alpha_prod) * sample -
           (alpha_prod_prev - alpha_prod) * epsilon / denominator;
  }

  std::vector<at::Tensor> history_;  // model outputs, newest first
  at::Tensor sum_;                   // of the running Runge-Kutta step's weighted slopes
  at::Tensor base_sample_;           // where that step, or the first multistep one, began
};

}  // namespace

SchedulerConfig pndm_defaults() {
  SchedulerConfig config;
  config.set_alpha_to_one = false;
  return config;
}

std::unique_ptr<Scheduler> make_pndm(const SchedulerConfig& config, const SamplerOptions&) {
  if (config.rescale_betas_zero_snr) {
    throw Error::usage("pndm cannot start at zero terminal SNR", "--sampler ddim");
  }
  return std::make_unique<PNDMScheduler>(config);
}

}  // namespace ldm
