#include "ldm/core/log.h"

#include <utility>

namespace ldm {
namespace {

LogSink& current_sink() {
  static LogSink sink;
  return sink;
}

}  // namespace

void set_log_sink(LogSink sink) { current_sink() = std::move(sink); }

void log_event(const LogEvent& event) {
  if (current_sink()) current_sink()(event);
}

void log_warning(std::string code, std::string message, std::string hint) {
  log_event({LogLevel::kWarning, std::move(code), std::move(message), std::move(hint)});
}

void log_info(std::string code, std::string message) {
  log_event({LogLevel::kInfo, std::move(code), std::move(message), {}});
}

}  // namespace ldm
