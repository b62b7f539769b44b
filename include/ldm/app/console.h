#pragma once

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/log.h"

namespace ldm::app {

/// The only place that writes to stdout and stderr. stdout carries results: paths, or with --json
/// events; stderr carries everything else. A stream that is closed or full loses text and nothing
/// more. Members may be called from several threads.
class Console {
 public:
  bool json = false;                ///< events on stdout; warnings go there too
  bool quiet = false;               ///< no information lines
  std::string program = "ldm-gen";  ///< what error lines begin with

  /// A line of results; the newline is added.
  void result(std::string_view line);
  /// An event line, only with `json`.
  void event(const nlohmann::ordered_json& event);
  /// A line for people on stderr, unless quiet or `json`; control characters are escaped.
  void info(std::string_view line);
  /// Text of several lines for people on stderr, whatever the mode; it must be safe already.
  void report(std::string_view text);
  void warning(const LogEvent& warning);
  /// "ldm-gen: CLASS: message" and "hint: …" on stderr, and with `json` the error event.
  void error(const Error& error);
  /// Replaces the line being redrawn at the end of stderr; empty removes it. Terminals only.
  void live(const std::string& line);

  bool stderr_is_terminal() const;
  /// Columns of the terminal at stderr, 80 when unknown.
  std::size_t columns() const;
  /// Whether anything written to stdout was lost.
  bool stdout_failed() const { return stdout_failed_; }

 private:
  void to_stderr(const std::string& text);
  void to_stdout(const std::string& text);

  std::mutex mutex_;
  std::string live_;
  bool stdout_failed_ = false;
};

/// Opens /dev/null for each of stdin, stdout and stderr that the caller left closed, so that no
/// other file ever gets their numbers; writing to such a stream fails.
void keep_standard_streams_taken();

}  // namespace ldm::app
