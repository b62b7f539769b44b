#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/history.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/solver_scheduler.h"

namespace ldm {
namespace {

constexpr std::size_t kFewTimesteps = 15;  // below it lower_order_final acts
constexpr int kMostOrder = 3;

/// Exponential integrator with the polynomial through the last ε over log ρ, ρ = σ/α (Zhang & Chen
/// 2023, eq. 14, "tAB-DEIS" in log ρ). Matches DEISMultistepScheduler, which ends at the lowest
/// training level.
class DEISMultistepScheduler : public SolverScheduler {
 public:
  DEISMultistepScheduler(const SchedulerConfig& config, const ScheduleChoice& choice)
      : SolverScheduler(config, choice) {
    const std::array<std::string_view, 5> known = {"logrho", "midpoint", "heun", "bh1", "bh2"};
    if (std::find(known.begin(), known.end(), config.solver_type) == known.end()) {
      throw Error::model(cat("solver_type \"", config.solver_type, "\" is not known"), "logrho");
    }
    if (config.solver_order < 1 || config.solver_order > kMostOrder) {
      throw Error::model(cat("solver_order ", config.solver_order, " is outside 1…3"));
    }
  }

 protected:
  void reset() override { history_.clear(); }

  double end_sigma(SigmaSpacing spacing, double last) const override {
    const bool even_timesteps = spacing == SigmaSpacing::kTimesteps;
    return even_timesteps ? training_levels().front()
                          : std::min<double>(last, training_levels().front());
  }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor&) override {
    const auto [alpha, sigma, lambda] = level(i);
    const at::Tensor x0 = x0_at(model_output, i, sample);
    remember(history_, (sample - alpha * x0) / sigma,
             static_cast<std::size_t>(config_.solver_order));
    const int order = order_at(i);
    at::Tensor scaled = sample / alpha;
    for (int k = 0; k < order; ++k) {
      scaled = scaled + weight(i, k, order) * history_[static_cast<std::size_t>(k)];
    }
    return level(i + 1).alpha * scaled;
  }

 private:
  int order_at(int i) const {
    const std::size_t left = timesteps_.size() - static_cast<std::size_t>(i);
    int order = static_cast<int>(history_.size());
    if (config_.lower_order_final && timesteps_.size() < kFewTimesteps) {
      order = std::min(order, static_cast<int>(left));
    }
    return usable_order(i, order);
  }

  double log_rho(int i) const { return std::log(sigmas_[static_cast<std::size_t>(i)]); }

  /// ∫ from ρ_i to ρ_{i+1} of the k-th Lagrange polynomial in log ρ over the last `order` levels.
  double weight(int i, int k, int order) const {
    const double a = log_rho(i);
    const double b = log_rho(i + 1);
    std::array<double, kMostOrder> nodes{};
    int count = 0;
    double scale = 1;
    for (int j = 0; j < order; ++j) {
      if (j == k) continue;
      nodes[static_cast<std::size_t>(count++)] = log_rho(i - j);
      scale *= log_rho(i - k) - log_rho(i - j);
    }
    const auto antiderivative = [&](double u) {
      if (count == 0) return std::exp(u);
      if (count == 1) return std::exp(u) * (u - nodes[0] - 1);
      return std::exp(u) * ((u - nodes[0]) * (u - nodes[1]) - (2 * u - nodes[0] - nodes[1]) + 2);
    };
    return (antiderivative(b) - antiderivative(a)) / scale;
  }

  std::vector<at::Tensor> history_;  // ε, newest first
};

}  // namespace

SchedulerConfig deis_defaults() {
  SchedulerConfig config;
  config.timestep_spacing = "linspace";
  config.solver_type = "logrho";
  config.algorithm_type = "deis";
  return config;
}

std::unique_ptr<Scheduler> make_deis(const SchedulerConfig& config, const SamplerOptions& options) {
  SchedulerConfig known = config;
  known.sigma_min.reset();
  known.sigma_max.reset();
  known.use_lu_lambdas = false;
  return std::make_unique<DEISMultistepScheduler>(known, options.schedule);
}

}  // namespace ldm
