#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

class Scheduler;

/// Which noise levels a caller may choose for a sampler.
enum class LevelChoice {
  kAll,         ///< every schedule, listed sigmas and timesteps
  kNamed,       ///< every schedule; the class makes levels of its own from it
  kTimesteps,   ///< whole timesteps: ays and listed ones
  kContinuous,  ///< levels between its own σ_min and σ_max, without training timesteps
  kNone,        ///< the method needs even steps
};

/// What differs from sampler to sampler beside the method.
struct SamplerTraits {
  LevelChoice levels = LevelChoice::kAll;
  bool takes_eta = false;
  /// Whether its public class reads rescale_betas_zero_snr; a file's field is ignored otherwise.
  bool reads_zero_snr = false;
};

/// One row of the table of samplers: --sampler's choices, help and the tests iterate it.
struct SamplerEntry {
  const char* name;             ///< as users type it: "euler-a"
  const char* diffusers_class;  ///< "EulerAncestralDiscreteScheduler"; empty where it has none
  const char* source;           ///< one line: paper and equation
  SchedulerConfig (*defaults)();
  std::unique_ptr<Scheduler> (*factory)(const SchedulerConfig&, const SamplerOptions&);
  SamplerTraits traits;

  /// A scheduler of this row. Error::model for a field value no class knows, Error::usage for one
  /// that this class cannot do, and for noise levels that do not fit it.
  std::unique_ptr<Scheduler> make(const SchedulerConfig& config,
                                  const SamplerOptions& options = {}) const;

  /// What the class is called elsewhere: diffusers' class, else k-diffusion.
  const char* public_name() const;
  /// The schedules that it can follow, "default" first.
  std::vector<std::string> schedules() const;
  bool takes_sigmas() const;
  bool takes_timesteps() const;
};

/// All samplers, in the order that help lists them.
std::span<const SamplerEntry> samplers();

/// Their names in that order.
std::vector<std::string> sampler_names();

/// The row of `name`; Error::usage with a suggestion where there is none.
const SamplerEntry& find_sampler(std::string_view name);

/// The row of a diffusers class, as scheduler_config.json's _class_name says it; Error::model with
/// the hint to name a sampler where there is none.
const SamplerEntry& find_sampler_by_class(std::string_view diffusers_class);

}  // namespace ldm
