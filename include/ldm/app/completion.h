#pragma once

#include <string>
#include <string_view>

#include "ldm/app/options.h"

namespace ldm::app {

/// What stands where a value is expected.
enum class ValueKind { kText, kWords, kFiles, kFolders };

/// What an option's value is, by its table row; kText for switches too.
ValueKind value_kind(const OptionSpec& spec);

/// What a command's argument is, by its table row; kText without one.
ValueKind argument_kind(const CommandSpec& command);

/// The words of an argument such as "bash|zsh|fish".
std::vector<std::string> argument_words(const CommandSpec& command);

/// The flags of a row, the short one first: {"-p", "--prompt"}.
std::vector<std::string> flags_of(const OptionSpec& spec);

/// The completion script of "bash", "zsh" or "fish", made from the option and command tables.
/// Throws Error::usage for another shell.
std::string completion_script(std::string_view shell);

/// The manual page in man(7) roff, from the same tables. `date` is YYYY-MM-DD or empty.
std::string manual_page(std::string_view date);

}  // namespace ldm::app
