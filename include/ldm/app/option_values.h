#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/app/options.h"

namespace ldm::app {

/// The whole of `text` as a number; empty for anything else: other text, blanks, overflow, NaN,
/// Inf.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<std::uint64_t> parse_unsigned(std::string_view text);
std::optional<double> parse_real(std::string_view text);

/// `value` in the shortest form that reads back the same; whole numbers without exponent or point.
std::string number_text(double value);

/// One thing wrong with the values that were given, and the way out of it.
struct Problem {
  std::string message;
  std::string hint;
};

/// Reads `text` into the option's field; a list gets one item more. Returns what is wrong with the
/// text, if anything.
std::optional<Problem> set_from_text(const OptionSpec& spec, std::string_view text,
                                     Options& options);

/// Reads a JSON value into the option's field; null leaves it unset.
std::optional<Problem> set_from_json(const OptionSpec& spec, const nlohmann::json& value,
                                     Options& options);

/// The option's value, null when unset.
nlohmann::ordered_json get_as_json(const OptionSpec& spec, const Options& options);

/// Whether the option has a value.
bool is_set(const OptionSpec& spec, const Options& options);

/// Copies every field that is set in `lower` and unset in `options`.
void fill_unset(Options& options, const Options& lower);

/// Every number that is set and outside its option's range.
std::vector<Problem> check_ranges(const Options& options);

/// Throws Error::usage naming all problems in one line; does nothing when there are none.
void throw_problems(const std::vector<Problem>& problems);

}  // namespace ldm::app
