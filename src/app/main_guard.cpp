#include "ldm/app/main_guard.h"

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "ldm/app/events.h"
#include "ldm/app/signals.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

/// Any exception in the project's terms; what libraries throw keeps its first line only.
Error describe_exception(const std::exception_ptr& caught) {
  try {
    std::rethrow_exception(caught);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error::memory(cat("out of memory, ", human_bytes(available_memory_bytes()), " are free"),
                         "try a smaller size, --low-memory, or --dtype bf16");
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return Error::internal(text.substr(0, text.find('\n')));
  } catch (...) {
    return Error::internal("unknown exception");
  }
}

void send_log_to(Console& console) {
  set_log_sink([&console](const LogEvent& event) {
    if (event.level == LogLevel::kWarning) console.warning(event);
    if (event.level == LogLevel::kInfo) console.info(event.message);
  });
}

void finish(Session& session, int exit_code) {
  session.report.total_s = seconds_since_process_start();
  session.report.peak = peak_memory();
  session.console.event(done_event(session.report, exit_code));
}

int run_guarded(std::span<const std::string> args, Session& session, const Command& command) {
  try {
    command(args, session);
  } catch (...) {
    const Error error = describe_exception(std::current_exception());
    session.console.error(error);
    return error.exit_code();
  }
  return 0;
}

}  // namespace

int main_guard(int argc, char** argv, const Command& command, const std::string& program) {
  seconds_since_process_start();
  throw_when_allocations_fail();
  keep_standard_streams_taken();
  install_signal_handlers();
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  Session session;
  session.console.program = program;
  // Known before parsing, so that parse errors are events too.
  session.console.json = std::find(args.begin(), args.end(), "--json") != args.end();
  send_log_to(session.console);
  int exit_code = run_guarded(args, session, command);
  if (session.makes_pictures || exit_code != 0) finish(session, exit_code);
  set_log_sink({});
  if (exit_code == 0 && session.console.json && session.console.stdout_failed()) {
    session.console.warning(
        {LogLevel::kWarning, "stdout-lost", "some events could not be written to stdout", {}});
    exit_code = static_cast<int>(ErrorCode::kInternal);
  }
  return exit_code;
}

}  // namespace ldm::app
