#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

class Scheduler;

/// One row of the table of samplers: --sampler's choices, help and the tests iterate it.
struct SamplerEntry {
  const char* name;             ///< as users type it: "euler-a"
  const char* diffusers_class;  ///< "EulerAncestralDiscreteScheduler"
  const char* source;           ///< one line: paper and equation
  SchedulerConfig (*defaults)();
  std::unique_ptr<Scheduler> (*factory)(const SchedulerConfig&, const SamplerOptions&);

  /// A scheduler of this row. Error::model for a field value no class knows, Error::usage for one
  /// that this class cannot do.
  std::unique_ptr<Scheduler> make(const SchedulerConfig& config,
                                  const SamplerOptions& options = {}) const;
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
