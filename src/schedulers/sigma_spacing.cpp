#include "ldm/schedulers/sigma_spacing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/beta_quantile.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {
namespace {

constexpr double kKarrasRho = 7.0;
constexpr double kPolyexponentialRho = 1.0;
constexpr double kBetaShape = 0.6;
constexpr double kSmallestSigma = 1e-10;

// Sabour et al. 2024's published optimum for Stable Diffusion 1.5 at ten steps; the last is where
// it ends, which the public tools replace by 0.
constexpr std::array kAlignYourSteps = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396,
                                        0.963,  0.652, 0.399, 0.152, 0.029};

SigmaSpacing spacing_of_config(const SchedulerConfig& config) {
  if (config.use_flow_sigmas) {
    throw Error::model(
        "use_flow_sigmas is not supported: not a latent diffusion model of this kind");
  }
  const bool karras = config.use_karras_sigmas.value_or(false);
  const bool exponential = config.use_exponential_sigmas.value_or(false);
  const bool beta = config.use_beta_sigmas.value_or(false);
  if (karras + exponential + beta > 1) {
    throw Error::model(cat("use_", karras ? "karras" : "exponential", "_sigmas and use_",
                           beta ? "beta" : "exponential", "_sigmas are both set"));
  }
  if (karras) return SigmaSpacing::kKarras;
  if (config.use_lu_lambdas) return SigmaSpacing::kLu;
  if (beta) return SigmaSpacing::kBeta;
  return exponential ? SigmaSpacing::kExponential : SigmaSpacing::kTimesteps;
}

/// log σ along an even ramp to the power `rho`.
std::vector<double> polyexponential(SigmaRange range, int count, double rho) {
  std::vector<double> sigmas = linspace(1, 0, count);
  const double low = std::log(range.min);
  for (double& sigma : sigmas) {
    sigma = std::exp(std::pow(sigma, rho) * (std::log(range.max) - low) + low);
  }
  return sigmas;
}

std::vector<double> exponential(SigmaRange range, int count) {
  std::vector<double> sigmas = linspace(std::log(range.max), std::log(range.min), count);
  for (double& sigma : sigmas) sigma = std::exp(sigma);
  return sigmas;
}

std::vector<double> beta(SigmaRange range, int count) {
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& sigma : sigmas) {
    sigma = range.min + beta_quantile(1 - sigma, kBetaShape, kBetaShape) * (range.max - range.min);
  }
  return sigmas;
}

/// The table at any number of steps: its log σ at even places, ending at 0.
std::vector<double> align_your_steps(int count) {
  std::vector<float> log_sigmas;
  for (const double sigma : kAlignYourSteps) log_sigmas.push_back(static_cast<float>(sigma));
  if (count + 1 == static_cast<int>(kAlignYourSteps.size())) {
    std::vector<double> sigmas(kAlignYourSteps.begin(), kAlignYourSteps.end());
    sigmas.back() = 0;
    return sigmas;
  }
  for (float& sigma : log_sigmas) sigma = std::log(sigma);
  std::vector<double> sigmas = interpolate(
      linspace(0, static_cast<double>(kAlignYourSteps.size()) - 1, count + 1), log_sigmas);
  for (double& sigma : sigmas) sigma = std::exp(sigma);
  sigmas.back() = 0;
  return sigmas;
}

NoiseLevels at_sigmas(std::vector<double> sigmas, std::span<const float> training_sigmas) {
  const bool ends = sigmas.back() == 0;
  const std::span<const double> above(sigmas.data(), sigmas.size() - (ends ? 1 : 0));
  std::vector<double> timesteps = timesteps_at_sigmas(above, training_sigmas);
  return {std::move(timesteps), std::move(sigmas)};
}

NoiseLevels sgm_uniform(int count, std::span<const float> training_sigmas) {
  NoiseLevels levels;
  levels.timesteps = linspace(static_cast<double>(training_sigmas.size()) - 1, 0, count + 1);
  levels.timesteps.pop_back();
  levels.sigmas = sigmas_at_timesteps(levels.timesteps, training_sigmas);
  return levels;
}

std::vector<float> logarithms(std::span<const float> sigmas) {
  std::vector<float> out;
  for (const float sigma : sigmas) out.push_back(std::log(sigma));
  return out;
}

}  // namespace

SigmaSpacing sigma_spacing(const SchedulerConfig& config, const ScheduleChoice& choice) {
  constexpr std::array<std::pair<std::string_view, SigmaSpacing>, 6> kNamed = {{
      {"karras", SigmaSpacing::kKarras},
      {"exponential", SigmaSpacing::kExponential},
      {"polyexponential", SigmaSpacing::kPolyexponential},
      {"beta", SigmaSpacing::kBeta},
      {"sgm-uniform", SigmaSpacing::kSgmUniform},
      {"ays", SigmaSpacing::kAys},
  }};
  if (!choice.sigmas.empty()) return SigmaSpacing::kSigmas;
  if (!choice.timesteps.empty()) return SigmaSpacing::kTimestepList;
  for (const auto& [name, spacing] : kNamed) {
    if (name == choice.name) return spacing;
  }
  return spacing_of_config(config);
}

NoiseLevels spaced_levels(SigmaSpacing spacing, const ScheduleChoice& choice, SigmaRange range,
                          int count, std::span<const float> training_sigmas) {
  switch (spacing) {
    case SigmaSpacing::kKarras:
      return at_sigmas(karras_sigmas(range, count, choice.rho.value_or(kKarrasRho)),
                       training_sigmas);
    case SigmaSpacing::kPolyexponential:
      return at_sigmas(polyexponential(range, count, choice.rho.value_or(kPolyexponentialRho)),
                       training_sigmas);
    case SigmaSpacing::kBeta:
      return at_sigmas(beta(range, count), training_sigmas);
    case SigmaSpacing::kAys:
      return at_sigmas(align_your_steps(count), training_sigmas);
    case SigmaSpacing::kSgmUniform:
      return sgm_uniform(count, training_sigmas);
    case SigmaSpacing::kSigmas: {
      std::vector<double> sigmas = choice.sigmas;
      if (sigmas.back() != 0) sigmas.push_back(0);
      return at_sigmas(std::move(sigmas), training_sigmas);
    }
    case SigmaSpacing::kTimestepList:
      return {choice.timesteps, interpolate(choice.timesteps, training_sigmas)};
    default:
      return at_sigmas(exponential(range, count), training_sigmas);
  }
}

std::vector<double> published_ays_timesteps() {
  return {999, 850, 736, 645, 545, 455, 343, 233, 124, 24};
}

std::vector<double> karras_sigmas(SigmaRange range, int count, double rho) {
  const double low = std::pow(range.min, 1 / rho);
  const double high = std::pow(range.max, 1 / rho);
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& sigma : sigmas) sigma = std::pow(high + sigma * (low - high), rho);
  return sigmas;
}

std::vector<double> timesteps_at_sigmas(std::span<const double> sigmas,
                                        std::span<const float> training_sigmas) {
  const std::vector<float> log_sigmas = logarithms(training_sigmas);
  std::vector<double> timesteps;
  for (const double sigma : sigmas) {
    const double log_sigma = std::log(std::max(sigma, kSmallestSigma));
    const auto above = std::upper_bound(log_sigmas.begin() + 1, log_sigmas.end() - 1, log_sigma);
    const double low = *(above - 1);
    const double weight = std::clamp((low - log_sigma) / (low - *above), 0.0, 1.0);
    const auto index = static_cast<double>(above - 1 - log_sigmas.begin());
    timesteps.push_back((1 - weight) * index + weight * (index + 1));
  }
  return timesteps;
}

std::vector<double> sigmas_at_timesteps(std::span<const double> timesteps,
                                        std::span<const float> training_sigmas) {
  std::vector<double> sigmas = interpolate(timesteps, logarithms(training_sigmas));
  for (double& sigma : sigmas) sigma = std::exp(sigma);
  return sigmas;
}

NoiseLevels styled_levels(LevelStyle style, int count, std::span<const float> training_sigmas) {
  NoiseLevels levels;
  levels.timesteps = linspace(static_cast<double>(training_sigmas.size()) - 1, 0, count);
  levels.sigmas = sigmas_at_timesteps(levels.timesteps, training_sigmas);
  if (style == LevelStyle::kComfy) round_all(levels.timesteps);
  return levels;
}

float final_sigma(const SchedulerConfig& config, std::span<const float> training_sigmas) {
  if (config.final_sigmas_type == "zero") return 0;
  if (config.final_sigmas_type == "sigma_min") return training_sigmas.front();
  throw Error::model(cat("final_sigmas_type \"", config.final_sigmas_type, "\" is not known"),
                     "zero or sigma_min");
}

}  // namespace ldm
