#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ldm/app/command_table.h"
#include "ldm/app/option_fields.h"

namespace ldm::app {

using OptionMember =
    std::variant<std::optional<std::string> Options::*, std::optional<std::uint64_t> Options::*,
                 std::optional<std::int64_t> Options::*, std::optional<double> Options::*,
                 std::optional<bool> Options::*,
                 std::optional<std::vector<std::string>> Options::*>;

/// Least and greatest legal value, both included.
struct Range {
  double least = 0;
  double most = 0;
};

/// One option: everything that parsing, config files, checks, help and completion need to know.
struct OptionSpec {
  std::string_view flags;  ///< "-s,--seed"; the long one last
  std::string_view value;  ///< "N" in help texts; empty for a switch
  std::string_view group;  ///< heading in the help, by task
  std::string_view help;
  OptionMember member;
  std::vector<std::string> (*choices)() = nullptr;  ///< legal words, when there is a fixed list
  std::optional<Range> range = std::nullopt;        ///< legal numbers
  bool in_config = true;                            ///< whether config files may hold it
  bool generates = true;  ///< whether making pictures takes it; if not, only some commands do

  bool is_switch() const { return value.empty(); }
  /// Whether it may be given several times.
  bool is_list() const { return member.index() == std::variant_size_v<OptionMember> - 1; }
};

/// All options, in the order of the help. A new option is one row here, one field of Options,
/// and the place that uses it.
std::span<const OptionSpec> option_table();

/// The long flag of an option, "--negative-prompt".
std::string long_flag(const OptionSpec& spec);

/// The config key of an option, "negative_prompt".
std::string option_key(const OptionSpec& spec);

/// The row whose config key is `key`, or null.
const OptionSpec* find_option(std::string_view key);

/// Whether each job of a batch may have its own value; the others hold for the whole run.
bool is_job_option(const OptionSpec& spec);

}  // namespace ldm::app
