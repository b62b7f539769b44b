#pragma once

#include <optional>
#include <string>

#include "ldm/core/execution_request.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// What a run did so far; it is reported however the run ends.
struct RunReport {
  int images = 0;   ///< written
  int skipped = 0;  ///< were there already
  int failed = 0;   ///< could not be made
  std::optional<ExecutionSummary> execution;
  double start_to_first_step_s = 0;
  double load_s = 0;
  double total_s = 0;
  StageTimings stages;
  PeakMemory peak;
};

/// Wall seconds since the operating system started this process, dynamic linking included.
double seconds_since_process_start();

/// The --timings table, with a final newline.
std::string timings_table(const RunReport& report);

}  // namespace ldm::app
