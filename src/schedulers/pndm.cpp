#include <ATen/TensorOperators.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/alpha_scheduler.h"
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
      : AlphaScheduler(config, config.set_alpha_to_one),
        prediction_type_(parse_prediction_type(config.prediction_type)) {
    if (prediction_type_ == PredictionType::kSample) {
      throw Error::usage("pndm cannot sample with prediction_type \"sample\"", "--sampler ddim");
    }
  }

  void set_timesteps(int num_inference_steps) override {
    start_plan(num_inference_steps);
    const std::vector<double> plain = whole_timesteps(num_inference_steps);
    timesteps_ = config_.skip_prk_steps ? repeat_second(plain) : with_runge_kutta(plain);
    derive_sigmas();
  }

 protected:
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
        history_.push_back(model_output);
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
      return transfer(base_sample_, t + whole_step(), t, (model_output + history_.back()) / 2);
    }
    if (calls_before == 0) base_sample_ = sample;
    if (history_.size() == kHistory) history_.erase(history_.begin());
    history_.push_back(model_output);
    return transfer(sample, t, t - whole_step(), multistep_slope());
  }

  /// Adams–Bashforth of the order that the history allows.
  at::Tensor multistep_slope() const {
    const auto e = [this](std::size_t back) { return history_[history_.size() - back]; };
    switch (history_.size()) {
      case 1:
        return e(1);
      case 2:
        return (3 * e(1) - e(2)) / 2;
      case 3:
        return (23 * e(1) - 16 * e(2) + 5 * e(3)) / 12;
      default:
        return (1.0 / 24) * (55 * e(1) - 59 * e(2) + 37 * e(3) - 9 * e(4));
    }
  }

  /// x at `previous` from x at `t` along `model_output`, eq. 9.
  at::Tensor transfer(const at::Tensor& sample, int t, int previous,
                      const at::Tensor& model_output) const {
    const float alpha_prod = alpha_cumprod(t);
    const float alpha_prod_prev = alpha_cumprod(previous);
    const float beta_prod = 1 - alpha_prod;
    const float beta_prod_prev = 1 - alpha_prod_prev;
    const at::Tensor epsilon = predict_epsilon(prediction_type_, model_output, sample,
                                               sqrt_fp32(alpha_prod), sqrt_fp32(beta_prod));
    const float denominator = alpha_prod * sqrt_fp32(beta_prod_prev) +
                              sqrt_fp32(alpha_prod * beta_prod * alpha_prod_prev);
    return sqrt_fp32(alpha_prod_prev / alpha_prod) * sample -
           (alpha_prod_prev - alpha_prod) * epsilon / denominator;
  }

  PredictionType prediction_type_;
  std::vector<at::Tensor> history_;  // model outputs, oldest first
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
  SchedulerConfig known = config;
  known.rescale_betas_zero_snr = false;  // a field this class does not have
  return std::make_unique<PNDMScheduler>(known);
}

}  // namespace ldm
