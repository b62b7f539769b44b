#pragma once

#include "ldm/core/error.h"

namespace ldm::app {

/// The first SIGINT or SIGTERM is remembered, a second ends the process at once with 128 + its
/// number. SIGPIPE is ignored, a reader that went away must not cost pictures, and SIGXFSZ: a file
/// that would grow too large is an error like any other. To be called by the main thread, which
/// the system prefers for a process's signals.
void install_signal_handlers();

/// The number of the signal that came, or 0.
int received_signal();

/// How a run that `signal` ended is reported: kInterrupted or kTerminated, "… k/N done".
Error stopped_by_signal(int signal, int done, int wanted);

}  // namespace ldm::app
