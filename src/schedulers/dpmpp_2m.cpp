#include <ATen/TensorOperators.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/history.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/solver_scheduler.h"

namespace ldm {
namespace {

constexpr std::size_t kFewTimesteps = 15;  // below it lower_order_final acts

/// Multistep DPM-Solver++ (Lu et al. 2022b, Algorithm 2), and its ε, SDE and third-order variants.
/// Matches DPMSolverMultistepScheduler.
class DPMSolverMultistepScheduler : public SolverScheduler {
 public:
  DPMSolverMultistepScheduler(const SchedulerConfig& config, const ScheduleChoice& choice);

  bool needs_noise(int) const override { return draws_noise(algorithm_); }
  // diffusers draws fresh noise here, all other tools follow one Brownian path.
  std::optional<NoiseInterval> noise_interval(int i) const override {
    if (choice().style == LevelStyle::kPublicClass) return std::nullopt;
    const auto at = static_cast<std::size_t>(i);
    return NoiseInterval{sigmas_[at], sigmas_[at + 1]};
  }

 protected:
  void reset() override {
    history_.clear();
    steps_done_ = 0;
  }
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override;
  int last_timestep() const override;
  // diffusers rounds no timestep of the cosine schedule.
  bool rounds_timesteps() const override { return config_.beta_schedule != "squaredcos_cap_v2"; }

 private:
  void check_fields() const;
  at::Tensor convert_model_output(const at::Tensor& model_output, int i,
                                  const at::Tensor& sample) const;
  int order_at(int i) const;
  at::Tensor add_differences(const at::Tensor& next, int i, int order,
                             const SolverFactors& factors) const;

  SolverAlgorithm algorithm_;
  bool heun_ = false;
  std::vector<at::Tensor> history_;  // converted model outputs, newest first
  int steps_done_ = 0;
};

DPMSolverMultistepScheduler::DPMSolverMultistepScheduler(const SchedulerConfig& config,
                                                         const ScheduleChoice& choice)
    : SolverScheduler(config, choice),
      algorithm_(parse_solver_algorithm(config.algorithm_type)),
      heun_(config.solver_type == "heun") {
  check_fields();
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
  const std::span<const float> sigmas = training_levels();
  int last = config_.num_train_timesteps;
  while (last > 0 && solver_level(sigmas[static_cast<std::size_t>(last - 1)]).lambda <
                         config_.lambda_min_clipped) {
    --last;
  }
  return last;
}

at::Tensor DPMSolverMultistepScheduler::convert_model_output(const at::Tensor& model_output, int i,
                                                             const at::Tensor& sample) const {
  const bool learned = config_.variance_type && config_.variance_type->starts_with("learned");
  const at::Tensor prediction = learned && prediction_type() == PredictionType::kEpsilon &&
                                        model_output.size(1) > sample.size(1)
                                    ? model_output.narrow(1, 0, sample.size(1))
                                    : model_output;
  if (predicts_x0(algorithm_)) return x0_at(prediction, i, sample);
  const auto [alpha, sigma, lambda] = level(i);
  const at::Tensor epsilon = predict_epsilon(prediction_type(), prediction, sample, alpha, sigma);
  if (!config_.thresholding) return epsilon;
  const at::Tensor x0 = threshold((sample - sigma * epsilon) / alpha);
  return (sample - alpha * x0) / sigma;
}

int DPMSolverMultistepScheduler::order_at(int i) const {
  const std::size_t left = timesteps_.size() - static_cast<std::size_t>(i);
  const bool few = config_.lower_order_final && timesteps_.size() < kFewTimesteps;
  const bool first_at_end =
      left == 1 && (config_.euler_at_final || few || config_.final_sigmas_type == "zero");
  int order = std::min(config_.solver_order, steps_done_ + 1);
  if (first_at_end) order = 1;
  if (left == 2 && few) order = std::min(order, 2);
  return usable_order(i, order);
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
  remember(history_, convert_model_output(model_output, i, sample),
           static_cast<std::size_t>(config_.solver_order));
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

std::unique_ptr<Scheduler> make_dpmpp_2m(const SchedulerConfig& config,
                                         const SamplerOptions& options) {
  SchedulerConfig known = config;
  known.sigma_min.reset();  // fields that this class does not have
  known.sigma_max.reset();
  return std::make_unique<DPMSolverMultistepScheduler>(known, options.schedule);
}

SchedulerConfig dpmpp_2m_sde_defaults() {
  SchedulerConfig config = dpmpp_2m_defaults();
  config.algorithm_type = "sde-dpmsolver++";
  return config;
}

std::unique_ptr<Scheduler> make_dpmpp_2m_sde(const SchedulerConfig& config,
                                             const SamplerOptions& options) {
  SchedulerConfig sde = config;
  sde.algorithm_type = "sde-dpmsolver++";
  sde.solver_order = 2;
  return make_dpmpp_2m(sde, options);
}

}  // namespace ldm
