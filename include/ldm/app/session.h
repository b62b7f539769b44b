#pragma once

#include "ldm/app/console.h"
#include "ldm/app/options.h"
#include "ldm/app/run_report.h"

namespace ldm::app {

/// One process' run of a command: where it talks and what it has done so far.
struct Session {
  Console console;
  RunReport report;
  LoadObserver on_load;         ///< hears of weights that were read, after the `load` event
  bool makes_pictures = false;  ///< with --json a `done` event ends it
};

/// Whether a run says how far it is.
bool shows_progress(const Options& options, const Console& console);

/// With --timings: the table of the run so far, on stderr.
void show_timings(const Options& options, Session& session);

}  // namespace ldm::app
