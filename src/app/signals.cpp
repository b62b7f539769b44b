#include "ldm/app/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void remember(int signal) {
  if (g_signal.exchange(signal) != 0) _exit(128 + signal);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction stop {};
  stop.sa_handler = remember;
  sigemptyset(&stop.sa_mask);
  stop.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM}) {
    sigaction(signal, &stop, nullptr);
  }
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    ::signal(signal, SIG_IGN);
  }
}

int received_signal() { return g_signal.load(); }

Error stopped_by_signal(int signal, int done, int wanted) {
  const bool interrupted = signal == SIGINT;
  return Error::stopped(interrupted ? ErrorCode::kInterrupted : ErrorCode::kTerminated,
                        cat(done, "/", wanted, " done"),
                        "the same command with the same seed makes the same pictures");
}

}  // namespace ldm::app
