#pragma once

#include <span>
#include <string>

#include "ldm/app/console.h"

namespace CLI {
class App;
}

namespace ldm::app {

/// Reads a tool's arguments into what `tool` is bound to. Answers --help (of the subcommand that is
/// named) and --version on stdout: then false, and nothing is left to do. Throws Error::usage.
bool parse_tool_arguments(CLI::App& tool, std::span<const std::string> args, Console& console);

}  // namespace ldm::app
