#pragma once

#include <span>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// `count` numbers from start to stop in float64, with numpy.linspace's rounding.
std::vector<double> linspace(double start, double stop, int count);

/// Linear interpolation of values[x] at each fractional index, clamped at both ends, in float64
/// with numpy.interp's rounding.
std::vector<double> interpolate(std::span<const double> at, std::span<const float> values);

/// `count` training timesteps, falling, by config.timestep_spacing (Lin et al. 2023, table 2).
///
/// leading: multiples of T / count plus steps_offset; trailing: T - 1 downwards in even steps;
/// linspace: T - 1 to 0, left fractional. Trailing drops the -1 that float64 rounding makes
/// numpy.arange append for some counts (61, 103, …).
std::vector<double> spaced_timesteps(const SchedulerConfig& config, int count);

/// The same for the DPM-Solver family: count + 1 points below `last_timestep`, of which the lowest
/// is left out; whole numbers.
std::vector<double> solver_timesteps(const SchedulerConfig& config, int count, int last_timestep);

/// Rounds half to even, in place.
void round_all(std::vector<double>& values);

/// Lowers all timesteps by as much as the first exceeds `highest`. steps_offset = 1 does that at
/// count = T, where a table look-up would otherwise fail.
void keep_below(std::vector<double>& timesteps, double highest);

}  // namespace ldm
