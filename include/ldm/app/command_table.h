#pragma once

#include <span>
#include <string_view>

namespace ldm::app {

/// A subcommand: `options` are keys of the option table.
struct CommandSpec {
  std::string_view name;
  std::string_view argument;  ///< its one positional argument: a name, legal words "a|b", or empty
  std::string_view help;
  std::span<const std::string_view> options;
  std::string_view more = {};  ///< what else its help says
};

/// The subcommands, in the order of the help.
std::span<const CommandSpec> command_table();

}  // namespace ldm::app
