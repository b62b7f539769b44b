#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/dpm_solver.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/sigma_spacing.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {
namespace {

constexpr std::size_t kFewTimesteps = 15;  // below it lower_order_final acts

/// Multistep DPM-Solver++ (Lu et al. 2022b, Algorithm 2), and its ε, SDE and third-order variants.
/// Matches DPMSolverMultistepScheduler.
class DPMSolverMultistepScheduler : public Scheduler {
 public:
  explicit DPMSolverMultistepScheduler(const SchedulerConfig& config);

  void set_timesteps(int num_inference_steps) override;
  bool needs_noise(int) const override { return draws_noise(algorithm_); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override {
    const SolverLevel at_i = level(i);
    return at_i.alpha * original.to(at::kFloat) + at_i.sigma * noise.to(at::kFloat);
  }

 protected:
  void reset() override {
    history_.clear();
    steps_done_ = 0;
  }
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override;

 private:
  SolverLevel level(int i) const {
    return solver_level(static_cast<float>(sigmas_[static_cast<std::size_t>(i)]));
  }
  int last_timestep() const;
  void check_fields() const;
  at::Tensor convert_model_output(const at::Tensor& model_output, int i,
                                  const at::Tensor& sample) const;
  int order_at(int i) const;
  at::Tensor add_differences(const at::Tensor& next, int i, int order,
                             const SolverFactors& factors) const;

  PredictionType prediction_type_;
  SolverAlgorithm algorithm_;
  bool heun_ = false;
  std::vector<float> training_sigmas_;
  std::vector<at::Tensor> history_;  // converted model outputs, newest first
  int steps_done_ = 0;
};

DPMSolverMultistepScheduler::DPMSolverMultistepScheduler(const SchedulerConfig& config)
    : Scheduler(config),
      prediction_type_(parse_prediction_type(config.prediction_type)),
      algorithm_(parse_solver_algorithm(config.algorithm_type)),
      heun_(config.solver_type == "heun"),
      training_sigmas_(training_sigmas(alphas_cumprod_table(config, false))) {
  check_fields();
  sigma_spacing(config);
  final_sigma(config, training_sigmas_);
}

void DPMSolverMultistepScheduler::check_fields() const {
  const std::string& type = config_.solver_type;
  // logrho, bh1 and bh2 belong to other classes; diffusers reads them as midpoint.
  if (!heun_ && type != "midpoint" && type != "logrho" && type != "bh1" && type != "bh2") {
    throw Error::model(cat("solver_type \"", type, "\" is not known"), "midpoint or heun");
  }
  if (config_.solver_order < 1 || config_.solver_order > 3) {
    throw Error::model(cat("solver_order ", config_.solver_order, " is outside 1…3"));
  }
  if (algorithm_ == SolverAlgorithm::kSdeDpmSolver && config_.solver_order == 3) {
    throw Error::model("algorithm_type \"sde-dpmsolver\" has no third order", "solver_order 2");
  }
  if (!predicts_x0(algorithm_) && config_.final_sigmas_type == "zero") {
    throw Error::model(cat("algorithm_type \"", config_.algorithm_type,
                           "\" cannot end at final_sigmas_type \"zero\""),
                       "final_sigmas_type sigma_min, or algorithm_type dpmsolver++");
  }
}

int DPMSolverMultistepScheduler::last_timestep() const {
  int last = config_.num_train_timesteps;
  while (last > 0 && solver_level(training_sigmas_[static_cast<std::size_t>(last - 1)]).lambda <
                         config_.lambda_min_clipped) {
    --last;
  }
  return last;
}

void DPMSolverMultistepScheduler::set_timesteps(int num_inference_steps) {
  start_plan(num_inference_steps);
  const int last = last_timestep();
  if (num_inference_steps > last) {
    throw Error::usage(cat("number of steps ", num_inference_steps, " is above ", last,
                           ", what lambda_min_clipped leaves"),
                       cat("--steps ", last));
  }
  const SigmaSpacing spacing = sigma_spacing(config_);
  if (spacing == SigmaSpacing::kTimesteps) {
    timesteps_ = solver_timesteps(config_, num_inference_steps, last);
    keep_below(timesteps_, config_.num_train_timesteps - 1);
    sigmas_ = interpolate(timesteps_, training_sigmas_);
  } else {
    sigmas_ = spaced_sigmas(spacing, training_sigmas_.back(), training_sigmas_.front(),
                            num_inference_steps);
    timesteps_ = timesteps_at_sigmas(sigmas_, training_sigmas_);
    // diffusers rounds only these, and never for the cosine schedule; the rest is cut off.
    const bool rounds =
        spacing != SigmaSpacing::kExponential && config_.beta_schedule != "squaredcos_cap_v2";
    for (double& t : timesteps_) t = rounds ? std::nearbyint(t) : std::trunc(t);
  }
  sigmas_.push_back(final_sigma(config_, training_sigmas_));
  for (double& sigma : sigmas_) sigma = static_cast<float>(sigma);
}

at::Tensor DPMSolverMultistepScheduler::convert_model_output(const at::Tensor& model_output, int i,
                                                             const at::Tensor& sample) const {
  const bool learned = config_.variance_type && config_.variance_type->starts_with("learned");
  const at::Tensor prediction = learned && prediction_type_ == PredictionType::kEpsilon &&
                                        model_output.size(1) > sample.size(1)
                                    ? model_output.narrow(1, 0, sample.size(1))
                                    : model_output;
  const auto [alpha, sigma, lambda] = level(i);
  const auto threshold = [this](const at::Tensor& x0) {
    return threshold_sample(x0, config_.dynamic_thresholding_ratio, config_.sample_max_value);
  };
  if (predicts_x0(algorithm_)) {
    const at::Tensor x0 = predict_x0(prediction_type_, prediction, sample, alpha, sigma);
    return config_.thresholding ? threshold(x0) : x0;
  }
  const at::Tensor epsilon = predict_epsilon(prediction_type_, prediction, sample, alpha, sigma);
  if (!config_.thresholding) return epsilon;
  return (sample - alpha * threshold((sample - sigma * epsilon) / alpha)) / sigma;
}

int DPMSolverMultistepScheduler::order_at(int i) const {
  const std::size_t left = timesteps_.size() - static_cast<std::size_t>(i);
  const bool few = config_.lower_order_final && timesteps_.size() < kFewTimesteps;
  const bool first_at_end =
      left == 1 && (config_.euler_at_final || few || config_.final_sigmas_type == "zero");
  int order = std::min(config_.solver_order, steps_done_ + 1);
  if (first_at_end) order = 1;
  if (left == 2 && few) order = std::min(order, 2);
  // Rounding may repeat a level (linspace at count = T): no slope can be taken across it.
  for (int back = 0; back < order; ++back) {
    const auto at = static_cast<std::size_t>(i + 1 - back);
    if (sigmas_[at] == sigmas_[at - 1]) return std::max(back, 1);
  }
  return order;
}

at::Tensor DPMSolverMultistepScheduler::add_differences(const at::Tensor& next, int i, int order,
                                                        const SolverFactors& factors) const {
  const float lambda = level(i).lambda;
  const float h = level(i + 1).lambda - lambda;
  const float r0 = (lambda - level(i - 1).lambda) / h;
  const at::Tensor d1_0 = (1 / r0) * (history_[0] - history_[1]);
  if (order == 2) return next + (heun_ ? factors.d1_heun : factors.d1_midpoint) * d1_0;
  const float r1 = (level(i - 1).lambda - level(i - 2).lambda) / h;
  const at::Tensor bend = d1_0 - (1 / r1) * (history_[1] - history_[2]);
  const at::Tensor d1 = d1_0 + (r0 / (r0 + r1)) * bend;
  return next + factors.d1_heun * d1 + factors.d2 * ((1 / (r0 + r1)) * bend);
}

at::Tensor DPMSolverMultistepScheduler::step_fp32(const at::Tensor& model_output, int i,
                                                  const at::Tensor& sample,
                                                  const at::Tensor& noise) {
  history_.insert(history_.begin(), convert_model_output(model_output, i, sample));
  if (history_.size() > static_cast<std::size_t>(config_.solver_order)) history_.pop_back();
  const int order = order_at(i);
  const SolverFactors factors = solver_factors(algorithm_, level(i), level(i + 1));
  at::Tensor next = factors.sample * sample + factors.d0 * history_[0];
  if (order > 1) next = add_differences(next, i, order, factors);
  ++steps_done_;
  return draws_noise(algorithm_) ? next + factors.noise * noise : next;
}

}  // namespace

SchedulerConfig dpmpp_2m_defaults() {
  SchedulerConfig config;
  config.timestep_spacing = "linspace";
  return config;
}

std::unique_ptr<Scheduler> make_dpmpp_2m(const SchedulerConfig& config, const SamplerOptions&) {
  return std::make_unique<DPMSolverMultistepScheduler>(config);
}

}  // namespace ldm
