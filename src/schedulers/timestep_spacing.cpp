#include "ldm/schedulers/timestep_spacing.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

// numpy.arange(start, 0, -ratio): the step is the rounded difference of the first two values.
std::vector<double> falling_range(double start, double ratio) {
  const auto count = static_cast<int>(std::ceil(start / ratio));
  const double step = (start - ratio) - start;
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(start + i * step);
  return values;
}

std::vector<double> trailing(double start, double ratio) {
  std::vector<double> timesteps = falling_range(start, ratio);
  round_all(timesteps);
  for (double& t : timesteps) t -= 1;
  while (timesteps.size() > 1 && timesteps.back() < 0) timesteps.pop_back();
  return timesteps;
}

[[noreturn]] void unknown_spacing(const std::string& spacing) {
  throw Error::model(cat("timestep_spacing \"", spacing, "\" is not known"),
                     "leading, trailing or linspace");
}

}  // namespace

void round_all(std::vector<double>& values) {
  for (double& value : values) value = std::nearbyint(value);
}

void keep_below(std::vector<double>& timesteps, double highest) {
  const double excess = timesteps.front() - highest;
  if (excess <= 0) return;
  for (double& t : timesteps) t = std::max(0.0, t - excess);
}

std::vector<double> linspace(double start, double stop, int count) {
  std::vector<double> values(static_cast<std::size_t>(count), start);
  if (count < 2) return values;
  const double step = (stop - start) / (count - 1);
  for (int i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = i * step + start;
  values.back() = stop;
  return values;
}

std::vector<double> interpolate(std::span<const double> at, std::span<const float> values) {
  std::vector<double> out;
  out.reserve(at.size());
  const double last = static_cast<double>(values.size()) - 1;
  for (const double x : at) {
    const double low = std::floor(std::clamp(x, 0.0, last));
    const auto index = static_cast<std::size_t>(low);
    const double below = values[index];
    if (x <= low || index + 1 == values.size()) {
      out.push_back(below);
    } else {
      out.push_back((values[index + 1] - below) * (x - low) + below);
    }
  }
  return out;
}

std::vector<double> spaced_timesteps(const SchedulerConfig& config, int count) {
  const int total = config.num_train_timesteps;
  if (config.timestep_spacing == "trailing") {
    return trailing(total, static_cast<double>(total) / count);
  }
  std::vector<double> timesteps;
  if (config.timestep_spacing == "linspace") {
    timesteps = linspace(0, total - 1, count);
  } else if (config.timestep_spacing == "leading") {
    const int ratio = total / count;
    for (int i = 0; i < count; ++i) timesteps.push_back(i * ratio + config.steps_offset);
  } else {
    unknown_spacing(config.timestep_spacing);
  }
  std::reverse(timesteps.begin(), timesteps.end());
  return timesteps;
}

std::vector<double> solver_timesteps(const SchedulerConfig& config, int count, int last_timestep) {
  if (config.timestep_spacing == "trailing") {
    return trailing(last_timestep, static_cast<double>(config.num_train_timesteps) / count);
  }
  std::vector<double> timesteps;
  if (config.timestep_spacing == "linspace") {
    timesteps = linspace(0, last_timestep - 1, count + 1);
    round_all(timesteps);
  } else if (config.timestep_spacing == "leading") {
    // A ratio of 0 would repeat one timestep; every timestep once is what fits.
    const int ratio = std::max(1, last_timestep / (count + 1));
    for (int i = 0; i <= count; ++i) timesteps.push_back(i * ratio + config.steps_offset);
  } else {
    unknown_spacing(config.timestep_spacing);
  }
  std::reverse(timesteps.begin(), timesteps.end());
  timesteps.pop_back();
  return timesteps;
}

}  // namespace ldm
