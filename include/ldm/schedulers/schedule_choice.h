#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ldm {

/// Whose conventions the noise levels follow where the public tools differ: even timesteps, the
/// timestep asked of a level between two of the table, and what the first noise is multiplied by.
enum class LevelStyle {
  kPublicClass,  ///< each diffusers class its own
  kKDiffusion,   ///< T-1 … 0 for all, fractional timesteps, σ_max
  kComfy,        ///< T-1 … 0 for all, the nearest whole timestep, √(σ_max²+1)
};

/// What a caller says about the noise levels of a run, beside their number.
struct ScheduleChoice {
  /// default (what the scheduler's config says), karras, exponential, polyexponential, beta,
  /// sgm-uniform or ays.
  std::string name = "default";
  std::optional<double> rho = {};  ///< exponent of karras (7) and polyexponential (1)
  std::vector<double> sigmas =
      {};  ///< the levels themselves, falling; a 0 at the end may be left out
  std::vector<double> timesteps = {};  ///< the training timesteps themselves, falling
  LevelStyle style = LevelStyle::kPublicClass;

  /// Whether the levels are listed, and so their number.
  bool listed() const { return !sigmas.empty() || !timesteps.empty(); }
  /// Steps of a listed run; 0 where nothing is listed.
  int listed_steps() const {
    const bool ends = !sigmas.empty() && sigmas.back() == 0;
    return static_cast<int>(sigmas.empty() ? timesteps.size() : sigmas.size() - (ends ? 1 : 0));
  }
};

/// The names of schedules, "default" first.
std::vector<std::string> schedule_names();

/// Error::usage for a name that is not known, levels that do not fall, or two answers at once.
void check_choice(const ScheduleChoice& choice, int num_train_timesteps);

}  // namespace ldm
