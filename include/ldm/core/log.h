#pragma once

#include <functional>
#include <string>

namespace ldm {

enum class LogLevel { kDebug, kInfo, kWarning };

/// One thing a user may want to know. `code` is a stable word such as "prompt-truncated".
struct LogEvent {
  LogLevel level = LogLevel::kInfo;
  std::string code;
  std::string message;
  std::string hint;
};

using LogSink = std::function<void(const LogEvent&)>;

/// Sets where the library's events go for the whole process; an empty sink drops them (the
/// default). Call before work starts: it is not synchronised with `log_event`.
void set_log_sink(LogSink sink);

/// Hands an event to the sink. The library itself never prints.
void log_event(const LogEvent& event);
void log_warning(std::string code, std::string message, std::string hint = {});
void log_info(std::string code, std::string message);

}  // namespace ldm
