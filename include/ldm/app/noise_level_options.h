#pragma once

#include <vector>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"
#include "ldm/schedulers/schedule_choice.h"

namespace ldm::app {

/// Lists of numbers that cannot be read, and a --steps that contradicts them.
std::vector<Problem> check_noise_levels(const Options& options);

/// What --schedule, --schedule-rho, --sigmas and --timesteps say; lists that cannot be read are
/// empty.
ScheduleChoice schedule_choice(const Options& options);

/// "14.6,3.9,0.5", as an option takes it.
std::string list_text(const std::vector<double>& values);

}  // namespace ldm::app
