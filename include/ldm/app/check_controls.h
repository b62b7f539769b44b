#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"

namespace ldm::app {

/// "0.2,0.8" as numbers; empty unless it is `count` finite numbers with commas between them.
std::vector<double> parse_numbers(std::string_view text, std::size_t count);

/// What is wrong with the options that watch or steer the denoising: previews, guidance interval,
/// FreeU, perturbed attention, ControlNets.
std::vector<Problem> check_controls(const Options& options);

}  // namespace ldm::app
