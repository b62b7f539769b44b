#include "ldm/app/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void remember(int signal) {
  if (g_signal.exchange(signal) != 0) _exit(128 + signal);
}

/// Far more than the registers of any CPU take.
constexpr std::size_t kStackBytes = std::size_t{1} << 17;

/// Handlers of this thread run on a stack of their own. oneDNN's generated code has its stack
/// pointer in a block of the heap for a while, where a handler's frame would overwrite what lies
/// before the block.
void give_handlers_a_stack() {
  alignas(std::max_align_t) static std::array<std::byte, kStackBytes> memory;
  stack_t own{};
  own.ss_sp = memory.data();
  own.ss_size = memory.size();
  sigaltstack(&own, nullptr);
}

}  // namespace

void install_signal_handlers() {
  give_handlers_a_stack();
  struct sigaction stop {};
  stop.sa_handler = remember;
  sigemptyset(&stop.sa_mask);
  stop.sa_flags = SA_RESTART | SA_ONSTACK;
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
