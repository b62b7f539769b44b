#include "ldm/app/config_file.h"

#include <utility>

#include "ldm/app/option_values.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"

namespace ldm::app {
namespace {

nlohmann::json read_object(const std::filesystem::path& path) {
  try {
    return read_json_file(path);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput);
  }
}

Problem unknown_key(const std::string& key) {
  std::vector<std::string> known;
  for (const OptionSpec& spec : option_table()) {
    if (spec.in_config) known.push_back(option_key(spec));
  }
  const std::string nearest = nearest_word(key, known);
  return {cat("/", key, ": unknown option"),
          nearest.empty() ? "keys are the long options in snake_case; see ldm-gen --print-config"
                          : cat("did you mean ", nearest, "?")};
}

}  // namespace

Options read_config_file(const std::filesystem::path& path) {
  const nlohmann::json object = read_object(path);
  if (!object.is_object()) {
    throw Error::input(cat(path.string(), ": expected a JSON object of options"),
                       "ldm-gen --print-config writes one");
  }
  Options options;
  std::vector<std::string> messages;
  std::string hint;
  for (const auto& [key, value] : object.items()) {
    const OptionSpec* spec = find_option(key);
    const bool known = spec != nullptr && spec->in_config;
    const std::optional<Problem> problem =
        known ? set_from_json(*spec, value, options) : unknown_key(key);
    if (!problem) continue;
    messages.push_back(problem->message);
    if (hint.empty()) hint = problem->hint;
  }
  if (!messages.empty()) throw Error::input(cat(path.string(), ": ", join(messages, "; ")), hint);
  return options;
}

std::string config_text(const Options& options) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const OptionSpec& spec : option_table()) {
    if (spec.in_config) object[option_key(spec)] = get_as_json(spec, options);
  }
  return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace ldm::app
