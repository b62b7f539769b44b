#include "ldm/schedulers/dpm_solver.h"

#include <limits>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"

namespace ldm {
namespace {

SolverFactors ode_x0_factors(const SolverLevel& s, const SolverLevel& t, float h) {
  const float decay = exp_fp32(-h) - 1;
  return {.sample = t.sigma / s.sigma,
          .d0 = -(t.alpha * decay),
          .d1_midpoint = -0.5F * (t.alpha * decay),
          .d1_heun = t.alpha * (decay / h + 1),
          .d2 = -(t.alpha * ((decay + h) / (h * h) - 0.5F)),
          .noise = 0};
}

SolverFactors ode_epsilon_factors(const SolverLevel& s, const SolverLevel& t, float h) {
  const float growth = exp_fp32(h) - 1;
  return {.sample = t.alpha / s.alpha,
          .d0 = -(t.sigma * growth),
          .d1_midpoint = -0.5F * (t.sigma * growth),
          .d1_heun = -(t.sigma * (growth / h - 1)),
          .d2 = -(t.sigma * ((growth - h) / (h * h) - 0.5F)),
          .noise = 0};
}

SolverFactors sde_x0_factors(const SolverLevel& s, const SolverLevel& t, float h) {
  const float gain = 1 - exp_fp32(-2 * h);
  return {.sample = t.sigma / s.sigma * exp_fp32(-h),
          .d0 = t.alpha * gain,
          .d1_midpoint = 0.5F * (t.alpha * gain),
          .d1_heun = t.alpha * (gain / (-2 * h) + 1),
          .d2 = t.alpha * ((gain - 2 * h) / ((2 * h) * (2 * h)) - 0.5F),
          .noise = t.sigma * sqrt_fp32(gain)};
}

SolverFactors sde_epsilon_factors(const SolverLevel& s, const SolverLevel& t, float h) {
  const float growth = exp_fp32(h) - 1;
  return {.sample = t.alpha / s.alpha,
          .d0 = -2 * (t.sigma * growth),
          .d1_midpoint = -(t.sigma * growth),
          .d1_heun = -2 * (t.sigma * (growth / h - 1)),
          .d2 = std::numeric_limits<float>::quiet_NaN(),
          .noise = t.sigma * sqrt_fp32(exp_fp32(2 * h) - 1)};
}

}  // namespace

SolverAlgorithm parse_solver_algorithm(const std::string& name) {
  if (name == "dpmsolver++" || name == "deis") return SolverAlgorithm::kDpmSolverPP;
  if (name == "dpmsolver") return SolverAlgorithm::kDpmSolver;
  if (name == "sde-dpmsolver++") return SolverAlgorithm::kSdeDpmSolverPP;
  if (name == "sde-dpmsolver") return SolverAlgorithm::kSdeDpmSolver;
  const std::vector<std::string> names = {"dpmsolver++", "dpmsolver", "sde-dpmsolver++",
                                          "sde-dpmsolver"};
  throw Error::model(cat("algorithm_type \"", name, "\" is not known"), did_you_mean(name, names));
}

bool draws_noise(SolverAlgorithm algorithm) {
  return algorithm == SolverAlgorithm::kSdeDpmSolver ||
         algorithm == SolverAlgorithm::kSdeDpmSolverPP;
}

bool predicts_x0(SolverAlgorithm algorithm) {
  return algorithm == SolverAlgorithm::kDpmSolverPP ||
         algorithm == SolverAlgorithm::kSdeDpmSolverPP;
}

SolverLevel solver_level(float sigma) {
  const float alpha = 1 / sqrt_fp32(sigma * sigma + 1);
  const float scaled = sigma * alpha;
  return {alpha, scaled, log_fp32(alpha) - log_fp32(scaled)};
}

SolverFactors solver_factors(SolverAlgorithm algorithm, const SolverLevel& s,
                             const SolverLevel& t) {
  const float h = t.lambda - s.lambda;
  switch (algorithm) {
    case SolverAlgorithm::kDpmSolver:
      return ode_epsilon_factors(s, t, h);
    case SolverAlgorithm::kSdeDpmSolver:
      return sde_epsilon_factors(s, t, h);
    case SolverAlgorithm::kSdeDpmSolverPP:
      return sde_x0_factors(s, t, h);
    case SolverAlgorithm::kDpmSolverPP:
      break;
  }
  return ode_x0_factors(s, t, h);
}

}  // namespace ldm
