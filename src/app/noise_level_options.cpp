#include "ldm/app/noise_level_options.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

/// Numbers with commas or blanks between them; `bad` is the first that is none.
std::vector<double> parse_list(std::string_view text, std::string& bad) {
  std::vector<double> values;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(", "), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    const auto value = parse_real(word);
    if (!value) {
      bad = word;
      return {};
    }
    values.push_back(*value);
  }
  return values;
}

std::vector<double> listed(const std::optional<std::string>& text) {
  std::string bad;
  return text ? parse_list(*text, bad) : std::vector<double>();
}

void check_list(std::vector<Problem>& problems, const char* flag,
                const std::optional<std::string>& text) {
  if (!text) return;
  std::string bad;
  const bool none = parse_list(*text, bad).empty();
  if (!bad.empty()) {
    problems.push_back({cat(flag, ": \"", escape_control(bad), "\" is no number"),
                        "numbers with commas between them, falling"});
  } else if (none) {
    problems.push_back({cat(flag, " lists no number"), {}});
  }
}

}  // namespace

std::vector<Problem> check_noise_levels(const Options& options) {
  std::vector<Problem> problems;
  check_list(problems, "--sigmas", options.sigmas);
  check_list(problems, "--timesteps", options.timesteps);
  const int count = schedule_choice(options).listed_steps();
  if (count > 0 && options.steps && *options.steps != count) {
    problems.push_back({cat("--steps ", *options.steps, " and a list of ", count, " steps in --",
                            options.sigmas ? "sigmas" : "timesteps"),
                        cat("leave --steps out: the list has ", count)});
  }
  return problems;
}

ScheduleChoice schedule_choice(const Options& options) {
  ScheduleChoice choice;
  choice.name = options.schedule.value_or("default");
  choice.rho = options.schedule_rho;
  choice.sigmas = listed(options.sigmas);
  choice.timesteps = listed(options.timesteps);
  return choice;
}

std::string list_text(const std::vector<double>& values) {
  std::vector<std::string> words;
  for (const double value : values) words.push_back(number_text(value));
  return join(words, ",");
}

}  // namespace ldm::app
