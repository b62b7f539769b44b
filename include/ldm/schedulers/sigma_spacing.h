#pragma once

#include <span>
#include <vector>

#include "ldm/schedulers/schedule_choice.h"
#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// How the noise levels of a run are spread between its highest and its lowest σ.
enum class SigmaSpacing {
  kTimesteps,        ///< as the timesteps fall
  kKarras,           ///< even in σ^(1/ρ), ρ = 7 (Karras et al. 2022, eq. 5)
  kExponential,      ///< even in log σ
  kLu,               ///< even in log-SNR (Lu et al. 2022), the same levels as kExponential
  kPolyexponential,  ///< log σ along a power of an even ramp (k-diffusion)
  kBeta,             ///< quantiles of Beta(0.6, 0.6) (Lee et al. 2024)
  kSgmUniform,       ///< even timesteps that leave out the last (Stability's generative-models)
  kAys,              ///< Align Your Steps' table for Stable Diffusion (Sabour et al. 2024)
  kSigmas,           ///< listed by the caller
  kTimestepList,     ///< listed by the caller as timesteps
};

/// What `choice` asks for, and where it leaves the default the config's use_*_sigmas fields;
/// Error::model when those contradict each other or ask for one that is not supported.
SigmaSpacing sigma_spacing(const SchedulerConfig& config, const ScheduleChoice& choice = {});

/// The noise levels of a run, falling, and the training timestep of each.
struct NoiseLevels {
  std::vector<double> timesteps;
  std::vector<double> sigmas;  ///< as many; one more where they bring their own end
};

/// A trained schedule's part that a spacing fills.
struct SigmaRange {
  double max;
  double min;
};

/// `count` levels of any spacing but kTimesteps; their timesteps are left fractional.
/// `training_sigmas` rises.
NoiseLevels spaced_levels(SigmaSpacing spacing, const ScheduleChoice& choice, SigmaRange range,
                          int count, std::span<const float> training_sigmas);

/// Align Your Steps' published whole timesteps, ten in number; rounded on their own.
std::vector<double> published_ays_timesteps();

/// `count` noise levels even in σ^(1/ρ).
std::vector<double> karras_sigmas(SigmaRange range, int count, double rho = 7);

/// The fractional timesteps whose σ, interpolated in log σ, are `sigmas`. `training_sigmas` rises.
std::vector<double> timesteps_at_sigmas(std::span<const double> sigmas,
                                        std::span<const float> training_sigmas);

/// σ at fractional timesteps, interpolated in log σ.
std::vector<double> sigmas_at_timesteps(std::span<const double> timesteps,
                                        std::span<const float> training_sigmas);

/// Even levels from timestep T-1 to 0 in k-diffusion's or ComfyUI's way.
NoiseLevels styled_levels(LevelStyle style, int count, std::span<const float> training_sigmas);

/// The σ after the last step: 0, or the lowest training σ where final_sigmas_type is sigma_min.
/// Error::model for another name.
float final_sigma(const SchedulerConfig& config, std::span<const float> training_sigmas);

}  // namespace ldm
