#include "ldm/app/session.h"

namespace ldm::app {

bool shows_progress(const Options& options, const Console& console) {
  return !options.no_progress.value_or(false) && !console.quiet && !console.json;
}

void show_timings(const Options& options, Session& session) {
  if (!options.timings.value_or(false)) return;
  session.report.total_s = seconds_since_process_start();
  session.report.peak = peak_memory();
  session.console.report(timings_table(session.report));
}

}  // namespace ldm::app
