#pragma once

#include <span>
#include <string>
#include <vector>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"

namespace ldm::app {

/// A command line taken apart.
struct Invocation {
  enum class Action { kRun, kHelp, kVersion };
  Action action = Action::kRun;
  std::string command;   ///< a subcommand's name; empty: generate pictures
  std::string argument;  ///< the subcommand's positional argument
  Options options;
};

/// Takes the arguments after the program's name apart. Throws Error::usage, in one line, for
/// unknown options (with a suggestion), options without their value, and values that cannot be
/// read or are out of range, all values in one message.
Invocation parse_command_line(std::span<const std::string> args);

/// The help text of a subcommand, or of the program for an empty name.
std::string help_text(const std::string& command);

/// "ldm-gen 0.1.0 (revision …, libtorch …)".
std::string version_text();

}  // namespace ldm::app
