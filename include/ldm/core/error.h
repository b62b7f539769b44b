#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// What went wrong, as the process exit code that reports it.
enum class ErrorCode : int {
  kInternal = 1,       ///< a bug in this program
  kUsage = 2,          ///< a command-line option or value
  kInput = 3,          ///< a prompt, an image, a jobs file
  kModel = 4,          ///< anything wrong with a model folder or file
  kOutput = 5,         ///< writing results
  kMemory = 6,         ///< not enough host or device memory
  kNonFinite = 7,      ///< NaN or Inf in computed text, latents or pictures
  kPartial = 8,        ///< some jobs failed under --keep-going
  kLocked = 9,         ///< the output folder belongs to a running process
  kTimeLimit = 75,     ///< --time-limit reached; continue later
  kInterrupted = 130,  ///< SIGINT
  kTerminated = 143,   ///< SIGTERM
};

/// The one error type: what happened, in one line, and what to do next.
///
/// Made by the named constructors, thrown once, caught once (`app/main_guard`). `rule` is a stable
/// identifier such as "E_ST_DUP" where a file-format rule was broken, otherwise empty.
class Error : public std::exception {
 public:
  static Error internal(std::string message);
  static Error usage(std::string message, std::string hint = {});
  static Error input(std::string message, std::string hint = {});
  static Error model(std::string message, std::string hint = {});
  /// A broken file-format rule: `rule` is its identifier, put into the message before the text.
  static Error model_rule(std::string rule, std::string message, std::string hint = {});
  static Error output(std::string message, std::string hint = {});
  static Error memory(std::string message, std::string hint = {});
  static Error non_finite(std::string message, std::string hint = {});
  /// The output folder belongs to a running process.
  static Error locked(std::string message, std::string hint = {});
  static Error stopped(ErrorCode code, std::string message, std::string hint = {});

  /// Adds what was being done when the error passed, outermost last: "reading unet/config.json".
  Error& with_context(std::string context);
  /// The same error under another exit code, e.g. an input image that turns out to be unreadable.
  Error& with_code(ErrorCode code);

  /// Adds a part of what was read, on a line, and on the next a caret under the faulty place.
  Error& with_excerpt(std::string lines);

  ErrorCode code() const { return code_; }
  int exit_code() const { return static_cast<int>(code_); }
  const std::string& rule() const { return rule_; }
  const std::string& hint() const { return hint_; }
  /// Context and message in one line, control characters escaped; no hint.
  const std::string& message() const { return text_; }
  /// Two lines without an end to the last one, or empty.
  const std::string& excerpt() const { return excerpt_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Error(ErrorCode code, std::string rule, std::string message, std::string hint);
  void compose();

  ErrorCode code_;
  std::string rule_;
  std::string message_;
  std::string hint_;
  std::string excerpt_;
  std::vector<std::string> context_;
  std::string text_;
};

/// The error class as one lower-case word ("model", "usage", …), for messages and JSON events.
std::string_view error_code_name(ErrorCode code);

}  // namespace ldm
