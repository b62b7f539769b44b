#pragma once

#include <span>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// How the noise levels of a run are spread between its highest and its lowest σ.
enum class SigmaSpacing {
  kTimesteps,    ///< as the timesteps fall
  kKarras,       ///< even in σ^(1/7) (Karras et al. 2022, eq. 5)
  kExponential,  ///< even in log σ
  kLu,           ///< even in log-SNR (Lu et al. 2022), the same levels as kExponential
};

/// What the use_*_sigmas fields ask for; Error::model when they contradict each other or ask for
/// one that is not supported.
SigmaSpacing sigma_spacing(const SchedulerConfig& config);

/// `count` noise levels falling from sigma_max to sigma_min; not for kTimesteps.
std::vector<double> spaced_sigmas(SigmaSpacing spacing, double sigma_max, double sigma_min,
                                  int count);

/// The fractional timesteps whose σ, interpolated in log σ, are `sigmas`. `training_sigmas` rises.
std::vector<double> timesteps_at_sigmas(std::span<const double> sigmas,
                                        std::span<const float> training_sigmas);

/// The σ after the last step: 0, or the lowest training σ where final_sigmas_type is sigma_min.
/// Error::model for another name.
float final_sigma(const SchedulerConfig& config, std::span<const float> training_sigmas);

}  // namespace ldm
