#pragma once

#include "ldm/app/console.h"
#include "ldm/app/run_report.h"

namespace ldm::app {

/// One process' run of a command: where it talks and what it has done so far.
struct Session {
  Console console;
  RunReport report;
  bool makes_pictures = false;  ///< with --json a `done` event ends it
};

}  // namespace ldm::app
