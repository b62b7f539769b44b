#pragma once

#include <cstdint>
#include <string>

namespace ldm::train {

/// The fields of a run's "schedule" section.
struct ScheduleConfig {
  std::string kind = "cosine";    ///< constant, linear or cosine, after the warm-up
  std::int64_t warmup_steps = 0;  ///< from 0 up to the full rate
  double final_factor = 0.0;      ///< of the learning rate at the last step

  template <class V>
  void visit(V&& v) {
    v("kind", kind);
    v("warmup_steps", warmup_steps);
    v("final_factor", final_factor);
  }
  /// Error::input naming the field that is out of range, with `where` before it.
  void validate(const std::string& where) const;
};

/// What the learning rate is multiplied with at `step` (0, 1, …) of `steps`: (step+1)/warmup_steps
/// during the warm-up; then 1, or from 1 to final_factor along a line or half a cosine wave
/// (Loshchilov & Hutter 2017, eq. 5).
double learning_rate_factor(const ScheduleConfig& config, std::int64_t step, std::int64_t steps);

}  // namespace ldm::train
