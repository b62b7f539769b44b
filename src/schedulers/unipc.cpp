#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/history.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/solver_scheduler.h"

namespace ldm {
namespace {

constexpr int kMostOrder = 9;

/// Unified predictor-corrector (Zhao et al. 2023, Algorithms 5 to 8): each model output first
/// corrects the sample that led to it, then predicts the next. Matches UniPCMultistepScheduler.
class UniPCMultistepScheduler : public SolverScheduler {
 public:
  UniPCMultistepScheduler(const SchedulerConfig& config, const ScheduleChoice& choice);

 protected:
  void reset() override;
  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override;
  double end_sigma(SigmaSpacing spacing, double last) const override {
    const bool repeats = spacing != SigmaSpacing::kTimesteps && config_.final_sigmas_type != "zero";
    return repeats ? last : SolverScheduler::end_sigma(spacing, last);
  }

 private:
  at::Tensor converted(const at::Tensor& model_output, int i, const at::Tensor& sample) const;
  int order_at(int i) const;
  at::Tensor update(int i, const at::Tensor& from, int order,
                    const at::Tensor& output_at_end) const;
  std::vector<double> weights(double h, const std::vector<double>& places, double scale) const;

  bool bh1_;
  std::vector<at::Tensor> history_;  // converted model outputs, newest first
  at::Tensor last_sample_;           // corrected, where the last step began
  int last_order_ = 0;
};

UniPCMultistepScheduler::UniPCMultistepScheduler(const SchedulerConfig& config,
                                                 const ScheduleChoice& choice)
    : SolverScheduler(config, choice), bh1_(config.solver_type == "bh1") {
  const std::string& type = config.solver_type;
  // midpoint, heun and logrho belong to other classes; diffusers reads them as bh2.
  if (!bh1_ && type != "bh2" && type != "midpoint" && type != "heun" && type != "logrho") {
    throw Error::model(cat("solver_type \"", type, "\" is not known"), "bh1 or bh2");
  }
  if (config.solver_order < 1 || config.solver_order > kMostOrder) {
    throw Error::model(cat("solver_order ", config.solver_order, " is outside 1…", kMostOrder));
  }
  if (!config.predict_x0 && config.final_sigmas_type == "zero") {
    throw Error::model("unipc without predict_x0 cannot end at final_sigmas_type \"zero\"",
                       "final_sigmas_type sigma_min");
  }
}

void UniPCMultistepScheduler::reset() {
  history_.clear();
  last_sample_ = at::Tensor();
  last_order_ = 0;
}

at::Tensor UniPCMultistepScheduler::converted(const at::Tensor& model_output, int i,
                                              const at::Tensor& sample) const {
  if (config_.predict_x0) return x0_at(model_output, i, sample);
  const auto [alpha, sigma, lambda] = level(i);
  return predict_epsilon(prediction_type(), model_output, sample, alpha, sigma);
}

int UniPCMultistepScheduler::order_at(int i) const {
  if (level(i + 1).sigma == 0) return 1;
  int order = static_cast<int>(history_.size());
  if (config_.lower_order_final) {
    order = std::min(order, static_cast<int>(timesteps_.size()) - i);
  }
  return usable_order(i, order);
}

/// The solution ρ of the paper's eq. 12, R(places) ρ = b / B(h): what each difference weighs.
std::vector<double> UniPCMultistepScheduler::weights(double h, const std::vector<double>& places,
                                                     double scale) const {
  const auto count = static_cast<std::int64_t>(places.size());
  std::vector<double> powers;
  std::vector<double> right;
  double phi = std::expm1(h) / h - 1;
  double factorial = 1;
  for (std::int64_t row = 0; row < count; ++row) {
    for (const double place : places) powers.push_back(std::pow(place, row));
    right.push_back(phi * factorial / scale);
    factorial *= static_cast<double>(row + 2);
    phi = phi / h - 1 / factorial;
  }
  const at::Tensor solved =
      at::linalg_solve(at::tensor(powers).reshape({count, count}), at::tensor(right));
  return {solved.data_ptr<double>(), solved.data_ptr<double>() + count};
}

/// The step that begins at level i with `from`; with the model's output at its end it is the
/// corrector's, without it the predictor's. history_[0] is the output at level i.
at::Tensor UniPCMultistepScheduler::update(int i, const at::Tensor& from, int order,
                                           const at::Tensor& output_at_end) const {
  const SolverLevel s = level(i);
  const SolverLevel t = level(i + 1);
  const double step = static_cast<double>(t.lambda) - s.lambda;
  const double h = config_.predict_x0 ? -step : step;
  const double growth = std::expm1(h);
  const double front = config_.predict_x0 ? t.alpha : t.sigma;
  const double kept = config_.predict_x0 ? static_cast<double>(t.sigma) / s.sigma
                                         : static_cast<double>(t.alpha) / s.alpha;
  at::Tensor next = kept * from - front * growth * history_[0];
  const double scale = bh1_ ? h : growth;
  std::vector<double> places;
  for (int k = 1; k < order; ++k) places.push_back((level(i - k).lambda - s.lambda) / step);
  const bool corrects = output_at_end.defined();
  if (corrects) places.push_back(1);
  const bool halves = places.size() == 1;  // as in the public class, for the first two orders
  const std::vector<double> rho =
      halves || places.empty() ? std::vector{0.5} : weights(h, places, scale);
  for (std::size_t k = 0; k < places.size(); ++k) {
    const bool end = corrects && k + 1 == places.size();
    const at::Tensor& other = end ? output_at_end : history_[k + 1];
    next = next - front * scale * rho[k] / places[k] * (other - history_[0]);
  }
  return next;
}

at::Tensor UniPCMultistepScheduler::step_fp32(const at::Tensor& model_output, int i,
                                              const at::Tensor& sample, const at::Tensor&) {
  const at::Tensor output = converted(model_output, i, sample);
  const at::Tensor corrected =
      last_sample_.defined() ? update(i - 1, last_sample_, last_order_, output) : sample;
  remember(history_, output, static_cast<std::size_t>(config_.solver_order));
  last_order_ = order_at(i);
  last_sample_ = corrected;
  return update(i, corrected, last_order_, {});
}

}  // namespace

SchedulerConfig unipc_defaults() {
  SchedulerConfig config;
  config.timestep_spacing = "linspace";
  config.solver_type = "bh2";
  return config;
}

std::unique_ptr<Scheduler> make_unipc(const SchedulerConfig& config,
                                      const SamplerOptions& options) {
  SchedulerConfig known = config;
  known.use_lu_lambdas = false;  // a field this class does not have
  return std::make_unique<UniPCMultistepScheduler>(known, options.schedule);
}

}  // namespace ldm
