#pragma once

#include <span>
#include <string_view>

namespace ldm::app {

/// A process exit code and its meaning in a word or two.
struct ExitCode {
  int code = 0;
  std::string_view meaning;
};

/// Every exit code of ldm-gen, rising; help and manual print this list.
std::span<const ExitCode> exit_codes();

}  // namespace ldm::app
