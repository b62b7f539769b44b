#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ldm::app {

/// `word` so that a POSIX shell reads it back as one word: bare where that is safe, else in single
/// quotes. Words with control or bidirectional-override characters, which would act on the terminal
/// they are pasted into, are written as $'…' with escapes (bash, zsh, ksh, POSIX 2024).
std::string shell_quoted(std::string_view word);

/// The words of a command line, each quoted, with a blank between.
std::string shell_command(std::span<const std::string> words);

}  // namespace ldm::app
