#include "ldm/app/option_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, value);
  if (fault != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<bool> parse_switch(std::string_view text) {
  constexpr std::array<std::string_view, 4> kYes = {"true", "1", "yes", "on"};
  constexpr std::array<std::string_view, 4> kNo = {"false", "0", "no", "off"};
  if (std::find(kYes.begin(), kYes.end(), text) != kYes.end()) return true;
  if (std::find(kNo.begin(), kNo.end(), text) != kNo.end()) return false;
  return std::nullopt;
}

Problem not_a(const OptionSpec& spec, std::string_view text, std::string_view expected) {
  return {cat(long_flag(spec), ": \"", text, "\" is not ", expected), {}};
}

Problem bad_seed(std::string_view text) {
  return {cat("--seed: ", text, " is not a seed"),
          "seeds are whole numbers 0…18446744073709551615; leave --seed out for a random one"};
}

std::optional<Problem> store(const OptionSpec& spec, std::string_view text,
                             std::optional<std::string>& field) {
  if (spec.choices != nullptr) {
    const std::vector<std::string> choices = spec.choices();
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      const std::string name = long_flag(spec).substr(2);
      return Problem{cat("unknown ", name, " \"", text, "\""), did_you_mean(text, choices)};
    }
  }
  field = std::string(text);
  return std::nullopt;
}

std::optional<Problem> store(const OptionSpec&, std::string_view text,
                             std::optional<std::uint64_t>& field) {
  field = parse_unsigned(text);
  if (!field) return bad_seed(text);
  return std::nullopt;
}

std::optional<Problem> store(const OptionSpec& spec, std::string_view text,
                             std::optional<std::int64_t>& field) {
  field = parse_integer(text);
  if (!field) return not_a(spec, text, "a whole number");
  return std::nullopt;
}

std::optional<Problem> store(const OptionSpec& spec, std::string_view text,
                             std::optional<double>& field) {
  field = parse_real(text);
  if (!field) return not_a(spec, text, "a finite number");
  return std::nullopt;
}

std::optional<Problem> store(const OptionSpec& spec, std::string_view text,
                             std::optional<bool>& field) {
  field = parse_switch(text);
  if (!field) return not_a(spec, text, "true or false");
  return std::nullopt;
}

std::optional<Problem> store(const OptionSpec& spec, std::string_view text,
                             std::optional<std::vector<std::string>>& field) {
  if (text.empty()) return not_a(spec, text, "a file");
  if (!field) field.emplace();
  field->emplace_back(text);
  return std::nullopt;
}

std::optional<Problem> wrong_type(const OptionSpec& spec, std::string_view expected,
                                  const nlohmann::json& value) {
  return Problem{cat("/", option_key(spec), ": expected ", expected, ", found ", value.type_name()),
                 {}};
}

/// A JSON array of strings, item by item.
std::optional<Problem> store_list(const OptionSpec& spec, const nlohmann::json& value,
                                  std::optional<std::vector<std::string>>& field) {
  if (!value.is_array()) return wrong_type(spec, "an array of strings", value);
  field.emplace();
  for (const nlohmann::json& item : value) {
    if (!item.is_string()) return wrong_type(spec, "an array of strings", item);
    if (auto problem = store(spec, item.get<std::string>(), field)) return problem;
  }
  return std::nullopt;
}

/// Whether a JSON value has the type of the field; numbers are then read by their text.
template <typename T>
bool fits(const nlohmann::json& value) {
  if constexpr (std::is_same_v<T, std::string>) return value.is_string();
  if constexpr (std::is_same_v<T, bool>) return value.is_boolean();
  if constexpr (std::is_same_v<T, double>) return value.is_number();
  return value.is_number_integer();
}

template <typename T>
std::string_view type_name() {
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, double>) return "a number";
  return "a whole number";
}

std::optional<double> number_of(const OptionSpec& spec, const Options& options) {
  return std::visit(
      [&](auto member) -> std::optional<double> {
        const auto& field = options.*member;
        if constexpr (std::is_convertible_v<decltype(*field), double>) {
          if (field) return static_cast<double>(*field);
        }
        return std::nullopt;
      },
      spec.member);
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  return parse_number<std::int64_t>(text);
}

std::optional<std::uint64_t> parse_unsigned(std::string_view text) {
  return parse_number<std::uint64_t>(text);
}

std::optional<double> parse_real(std::string_view text) {
  const std::optional<double> value = parse_number<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string number_text(double value) {
  if (std::abs(value) < 1e15 && value == std::trunc(value)) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  std::array<char, 32> buffer{};
  const auto [end, fault] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return fault == std::errc() ? std::string(buffer.data(), end) : std::string();
}

std::optional<Problem> set_from_text(const OptionSpec& spec, std::string_view text,
                                     Options& options) {
  return std::visit([&](auto member) { return store(spec, text, options.*member); }, spec.member);
}

std::optional<Problem> set_from_json(const OptionSpec& spec, const nlohmann::json& value,
                                     Options& options) {
  if (value.is_null()) return std::nullopt;
  return std::visit(
      [&](auto member) -> std::optional<Problem> {
        using T = typename std::remove_reference_t<decltype(options.*member)>::value_type;
        if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return store_list(spec, value, options.*member);
        } else {
          if (!fits<T>(value)) return wrong_type(spec, type_name<T>(), value);
          const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
          return store(spec, text, options.*member);
        }
      },
      spec.member);
}

nlohmann::ordered_json get_as_json(const OptionSpec& spec, const Options& options) {
  return std::visit(
      [&](auto member) {
        const auto& field = options.*member;
        return field ? nlohmann::ordered_json(*field) : nlohmann::ordered_json(nullptr);
      },
      spec.member);
}

bool is_set(const OptionSpec& spec, const Options& options) {
  return std::visit([&](auto member) { return (options.*member).has_value(); }, spec.member);
}

void fill_unset(Options& options, const Options& lower) {
  for (const OptionSpec& spec : option_table()) {
    std::visit(
        [&](auto member) {
          if (!(options.*member)) options.*member = lower.*member;
        },
        spec.member);
  }
}

std::vector<Problem> check_ranges(const Options& options) {
  std::vector<Problem> problems;
  for (const OptionSpec& spec : option_table()) {
    const std::optional<double> value = number_of(spec, options);
    if (!spec.range || !value) continue;
    if (*value >= spec.range->least && *value <= spec.range->most) continue;
    problems.push_back({cat(long_flag(spec), ": ", number_text(*value), " is not within ",
                            number_text(spec.range->least), "…", number_text(spec.range->most)),
                        {}});
  }
  return problems;
}

void throw_problems(const std::vector<Problem>& problems) {
  if (problems.empty()) return;
  std::vector<std::string> messages;
  std::vector<std::string> hints;
  for (const Problem& problem : problems) {
    messages.push_back(problem.message);
    if (!problem.hint.empty()) hints.push_back(problem.hint);
  }
  throw Error::usage(join(messages, "; "),
                     hints.empty() ? "ldm-gen --help lists all options" : join(hints, "; "));
}

}  // namespace ldm::app
