#include "ldm/schedulers/sigma_spacing.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/timestep_spacing.h"

namespace ldm {
namespace {

constexpr double kKarrasRho = 7.0;
constexpr double kSmallestSigma = 1e-10;

}  // namespace

SigmaSpacing sigma_spacing(const SchedulerConfig& config) {
  if (config.use_beta_sigmas.value_or(false)) {
    throw Error::model("use_beta_sigmas is not supported", "set it to false");
  }
  if (config.use_flow_sigmas) {
    throw Error::model(
        "use_flow_sigmas is not supported: not a latent diffusion model of this kind");
  }
  const bool karras = config.use_karras_sigmas.value_or(false);
  const bool exponential = config.use_exponential_sigmas.value_or(false);
  if (karras && exponential) {
    throw Error::model("use_karras_sigmas and use_exponential_sigmas are both set");
  }
  if (karras) return SigmaSpacing::kKarras;
  if (config.use_lu_lambdas) return SigmaSpacing::kLu;
  return exponential ? SigmaSpacing::kExponential : SigmaSpacing::kTimesteps;
}

std::vector<double> spaced_sigmas(SigmaSpacing spacing, double sigma_max, double sigma_min,
                                  int count) {
  if (spacing != SigmaSpacing::kKarras) {
    std::vector<double> sigmas = linspace(std::log(sigma_max), std::log(sigma_min), count);
    for (double& sigma : sigmas) sigma = std::exp(sigma);
    return sigmas;
  }
  const double low = std::pow(sigma_min, 1 / kKarrasRho);
  const double high = std::pow(sigma_max, 1 / kKarrasRho);
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& sigma : sigmas) sigma = std::pow(high + sigma * (low - high), kKarrasRho);
  return sigmas;
}

std::vector<double> timesteps_at_sigmas(std::span<const double> sigmas,
                                        std::span<const float> training_sigmas) {
  std::vector<float> log_sigmas;
  for (const float sigma : training_sigmas) log_sigmas.push_back(std::log(sigma));
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

float final_sigma(const SchedulerConfig& config, std::span<const float> training_sigmas) {
  if (config.final_sigmas_type == "zero") return 0;
  if (config.final_sigmas_type == "sigma_min") return training_sigmas.front();
  throw Error::model(cat("final_sigmas_type \"", config.final_sigmas_type, "\" is not known"),
                     "zero or sigma_min");
}

}  // namespace ldm
