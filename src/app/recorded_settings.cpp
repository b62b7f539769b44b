#include "ldm/app/recorded_settings.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"
#include "ldm/schedulers/registry.h"

namespace ldm::app {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostSettings = 256;
constexpr std::size_t kMostBytes = std::size_t{64} << 10U;
constexpr std::size_t kMostName = 80;

/// At most `most` bytes of UTF-8 text, whole characters only.
std::string shortened(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;
  return text.substr(0, most) + "…";
}

class Collector {
 public:
  /// The first value of a name stays.
  void add(const std::string& name, std::string value) {
    if (settings.size() >= kMostSettings || name.empty()) return;
    std::string kept = shortened(name, kMostName);
    if (find_setting(settings, kept) != nullptr) return;
    settings.push_back({std::move(kept), shortened(std::move(value), kMostBytes)});
  }

  std::vector<Setting> settings;
};

std::string scalar_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return number_text(value.get<double>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A list on one line; a LoRA as name:scale, as it is given on the command line.
std::string list_text(const Json& list) {
  std::vector<std::string> items;
  for (const Json& item : list) {
    if (item.is_object() && item.contains("word")) {
      items.push_back(scalar_text(item["word"]));
      continue;
    }
    const bool lora = item.is_object() && item.contains("name") && item.contains("scale");
    items.push_back(lora ? scalar_text(item["name"]) + ":" + scalar_text(item["scale"])
                         : scalar_text(item));
  }
  return join(items, ", ");
}

void flatten(const Json& object, const std::string& prefix, Collector& out) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = prefix + key;
    if (value.is_null() || name == "schema" || name == "request") continue;
    if (value.is_object()) {
      flatten(value, name + ".", out);
    } else {
      out.add(name, value.is_array() ? list_text(value) : scalar_text(value));
    }
  }
}

void add_own(const Json& json, Collector& out) {
  // The picture's own seed, not that of the run's first picture.
  if (json.contains("seed")) out.add("seed", scalar_text(json["seed"]));
  if (json.contains("request") && json["request"].is_object()) flatten(json["request"], "", out);
  flatten(json, "", out);
}

/// A name without what its spellings differ in: "DPM++ 2M" and dpmpp-2m alike.
std::string bare_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '+') out += 'p';
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c + 32);
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out == "plms" ? "pndm" : out;
}

/// The choice of an option that another tool spells `theirs`.
std::string own_name(const char* option, const std::string& theirs) {
  for (const std::string& ours : find_option(option)->choices()) {
    if (bare_name(ours) == bare_name(theirs)) return ours;
  }
  return theirs;
}

/// The schedule that another tool calls `theirs`; empty where the picture's sampler is not known or
/// cannot follow it.
std::string own_schedule(const std::string& theirs, const std::string* sampler) {
  const std::vector<std::string> known = sampler_names();
  if (sampler == nullptr || std::find(known.begin(), known.end(), *sampler) == known.end()) {
    return {};
  }
  const std::string ours = theirs == "Align Your Steps" ? "ays"
                           : theirs == "Automatic"      ? "default"
                                                        : own_name("schedule", theirs);
  const std::vector<std::string> fitting = find_sampler(*sampler).schedules();
  return std::find(fitting.begin(), fitting.end(), ours) == fitting.end() ? "" : ours;
}

/// Takes `name: value` off the front of the last line of a parameters text; values that hold its
/// punctuation are quoted as JSON.
std::pair<std::string, std::string> take_pair(std::string_view& rest) {
  const std::size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return {{}, std::string(std::exchange(rest, {}))};
  std::string name(rest.substr(0, colon));
  rest.remove_prefix(colon + 1);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  std::size_t end = 0;
  if (rest.starts_with('"')) {
    for (end = 1; end < rest.size() && rest[end] != '"'; ++end) end += rest[end] == '\\' ? 1 : 0;
    end = std::min(end + 1, rest.size());
  } else {
    end = std::min(rest.find(','), rest.size());
  }
  std::string value(rest.substr(0, end));
  Json parsed;
  const bool quoted = value.starts_with('"') && !try_parse_json(value, {}, parsed);
  if (quoted && parsed.is_string()) value = parsed.get<std::string>();
  rest.remove_prefix(end);
  while (rest.starts_with(',') || rest.starts_with(' ')) rest.remove_prefix(1);
  return {name, value};
}

void add_pair(const std::string& name, std::string value, Collector& out) {
  constexpr std::array<std::pair<std::string_view, const char*>, 4> kRenamed = {
      {{"CFG scale", "guidance_scale"},
       {"Denoising strength", "strength"},
       {"Hires upscale", "hires_scale"},
       {"Tiling", "tile"}}};
  if (name == "Size") {
    const std::size_t x = value.find('x');
    out.add("width", value.substr(0, x));
    if (x != std::string::npos) out.add("height", value.substr(x + 1));
    return;
  }
  if (name == "Emphasis" && value == "No norm") {
    out.add("prompt_weighting", "plain");
    return;
  }
  if (name == "Tiling" && value == "True") value = "xy";
  if (name == "Hires upscaler" && value == "Latent") value = "latent";
  if (name == "Hires upscaler" && value == "Lanczos") value = "image";
  if (name == "Sampler") value = own_name("sampler", value);
  if (name == "Schedule type") {
    const std::string ours = own_schedule(value, find_setting(out.settings, "sampler"));
    if (!ours.empty()) return out.add("schedule", ours);
  }
  const auto skip = name == "Clip skip" ? parse_integer(value) : std::nullopt;
  // Counted from 1 there, from 0 here.
  if (skip && *skip > 0) value = std::to_string(*skip - 1);
  std::string key;
  for (const auto& [theirs, ours] : kRenamed) {
    if (name == theirs) key = ours;
  }
  for (const char c : key.empty() ? name : "") {
    key += c == ' ' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  out.add(key, std::move(value));
}

/// The text of AUTOMATIC1111: prompt, "Negative prompt: …", and a line "Steps: …, Sampler: …".
void add_parameters(const std::string& text, Collector& out) {
  constexpr std::string_view kNegative = "Negative prompt: ";
  const std::size_t at = text.starts_with("Steps: ") ? 0 : text.rfind("\nSteps: ");
  if (at == std::string::npos) {
    out.add("prompt", text);
    return;
  }
  std::string_view prompt(text);
  prompt = prompt.substr(0, at);
  std::string_view rest(text);
  rest.remove_prefix(at == 0 ? 0 : at + 1);
  const std::size_t negative =
      prompt.starts_with(kNegative) ? 0 : prompt.find("\n" + std::string(kNegative));
  out.add("prompt", std::string(prompt.substr(0, negative)));
  if (negative != std::string_view::npos) {
    prompt.remove_prefix(negative + kNegative.size() + (negative == 0 ? 0 : 1));
    out.add("negative_prompt", std::string(prompt));
  }
  while (!rest.empty()) {
    auto [name, value] = take_pair(rest);
    add_pair(name, std::move(value), out);
  }
  if (find_setting(out.settings, "hires_scale") == nullptr) return;
  // There the strength is the second pass's, which runs all of its steps.
  for (Setting& setting : out.settings) {
    if (setting.name == "strength") setting.name = "hires_strength";
  }
  out.add("strength_mode", "exact");
}

}  // namespace

Json parse_settings(const std::string& text, const std::string& name) {
  JsonLimits limits;
  limits.max_bytes = text.size();
  Json json;
  const auto fault = try_parse_json(text, limits, json);
  if (fault) throw Error::input(cat(name, ": its settings are no JSON: ", fault->text));
  if (!json.is_object()) throw Error::input(name + ": its settings are no JSON object");
  return json;
}

std::vector<Setting> recorded_settings(std::span<const PngText> text, const std::string& name) {
  Collector out;
  for (const PngText& entry : text) {
    if (entry.key == "ldm-gen") {
      add_own(parse_settings(entry.value, name), out);
      return out.settings;
    }
  }
  for (const PngText& entry : text) {
    if (entry.key == "parameters") {
      add_parameters(entry.value, out);
      return out.settings;
    }
  }
  for (const PngText& entry : text) out.add("png." + entry.key, entry.value);
  return out.settings;
}

const std::string* find_setting(std::span<const Setting> settings, std::string_view name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const Setting& setting) { return setting.name == name; });
  return found == settings.end() ? nullptr : &found->value;
}

}  // namespace ldm::app
