#include "ldm/train/learning_rate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {

void ScheduleConfig::validate(const std::string& where) const {
  const std::array<std::string, 3> kinds = {"constant", "linear", "cosine"};
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    throw Error::input(cat(where, ": /kind: unknown schedule \"", kind, "\""),
                       did_you_mean(kind, kinds));
  }
  if (warmup_steps < 0) throw Error::input(cat(where, ": /warmup_steps is negative"));
  if (!(final_factor >= 0 && final_factor <= 1)) {
    throw Error::input(cat(where, ": /final_factor: ", final_factor, " is not in [0, 1]"));
  }
}

double learning_rate_factor(const ScheduleConfig& config, std::int64_t step, std::int64_t steps) {
  if (step < config.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps);
  }
  if (config.kind == "constant") return 1.0;
  const auto span = static_cast<double>(std::max<std::int64_t>(steps - config.warmup_steps, 1));
  const double part = std::min(static_cast<double>(step - config.warmup_steps) / span, 1.0);
  const double left =
      config.kind == "linear" ? 1.0 - part : 0.5 * (1.0 + std::cos(std::numbers::pi * part));
  return config.final_factor + (1.0 - config.final_factor) * left;
}

}  // namespace ldm::train
