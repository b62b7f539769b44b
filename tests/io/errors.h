#pragma once

#include <optional>
#include <string>

#include "ldm/core/error.h"
#include "tests/support/catch.h"

namespace ldm::test {

using Catch::Matchers::Contains;

/// The ldm::Error that `action` throws, or nothing when it throws none.
template <typename Action>
std::optional<Error> error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

/// The rule of the error that `action` throws; "" for an error without one, "none" without an
/// error.
template <typename Action>
std::string rule_of(Action&& action) {
  const auto error = error_of(action);
  return error ? error->rule() : "none";
}

}  // namespace ldm::test
