#include "ldm/app/recorded_picture.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ldm/app/inputs.h"
#include "ldm/app/option_values.h"
#include "ldm/app/recorded_settings.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/fields.h"
#include "ldm/io/hash.h"
#include "ldm/text/prompt_syntax.h"

namespace ldm::app {
namespace {

using Json = nlohmann::json;

/// More would ask a machine for what no picture needs.
constexpr std::int64_t kMostThreads = 256;
constexpr std::int64_t kMostImages = 1'000'000;

constexpr std::array<std::string_view, 9> kEnvironment = {
    "version", "revision", "libtorch", "device", "gpu", "dtype", "products", "isa", "threads"};

bool is_deciding(std::string_view key) {
  const auto all = deciding_options();
  return std::any_of(all.begin(), all.end(), [&](const auto& row) { return row.key == key; });
}

bool is_neutral(std::string_view key, const std::string& value) {
  const auto all = deciding_options();
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& row) { return row.key == key && row.neutral == value; });
}

/// Reads the "ldm-gen" object; every fault is Error::input "NAME: /field: …".
class OwnReader {
 public:
  OwnReader(const Json& json, std::string name) : json_(json), name_(std::move(name)) {}

  RecordedPicture read() {
    std::int64_t schema = 0;
    field("schema", schema);
    if (schema != 1)
      refuse("/schema", cat("expected 1, found ", schema), "a newer ldm-gen wrote it");
    field("index", out_.index);
    if (out_.index < 0 || out_.index > kMostImages) refuse("/index", "is no image of a run");
    field("job", out_.job);
    field("model", out_.model);
    field("vae", out_.vae);
    read_request();
    read_machine();
    for (const RecordedFile& file : recorded_files()) {
      const std::string key(file.hash);
      if (json_.contains(key)) out_.files[key] = sha256(json_[key], "/" + key);
    }
    read_hashes();
    read_additions();
    read_controlnets();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& path, const std::string& what,
                           const std::string& hint = {}) const {
    throw Error::input(cat(name_, ": its settings: ", path, ": ", what), hint);
  }

  template <typename T>
  void value(const Json& json, T& out, const std::string& path) const {
    try {
      read_field(json, out, name_ + ": its settings: " + path);
    } catch (Error& error) {
      throw error.with_code(ErrorCode::kInput);
    }
  }

  template <typename T>
  void field(const std::string& key, T& out) const {
    if (json_.contains(key)) value(json_[key], out, "/" + key);
  }

  std::string sha256(const Json& json, const std::string& path) const {
    std::string text;
    value(json, text, path);
    if (!is_sha256_hex(text)) refuse(path, "is no SHA-256");
    return text;
  }

  const Json& object(const std::string& key) const {
    if (!json_[key].is_object()) {
      refuse("/" + key, cat("expected an object, found ", json_[key].type_name()));
    }
    return json_[key];
  }

  void set(const std::string& key, const Json& json, const std::string& path) {
    const OptionSpec* spec = find_option(key);
    if (spec == nullptr || !is_deciding(key)) {
      refuse(path, "is no setting that this ldm-gen knows",
             cat("the picture was made by ldm-gen ", json_.value("version", Json()).dump()));
    }
    Options one;
    auto problem = set_from_json(*spec, json, one);
    if (!problem) {
      const std::vector<Problem> problems = check_ranges(one);
      if (!problems.empty()) problem = problems.front();
    }
    if (problem) {
      const std::string type = "/" + key + ": ";
      const bool named = problem->message.starts_with(type);
      refuse(path, named ? problem->message.substr(type.size()) : problem->message, problem->hint);
    }
    fill_unset(out_.options, one);
  }

  /// The picture's own seed stands outside; what only the whole run had is left out.
  void read_request() {
    constexpr std::array<std::string_view, 4> kOfTheRun = {"seed", "num_images", "batch_size",
                                                           "low_memory"};
    constexpr std::array<const char*, 7> kNeeded = {
        "prompt", "steps", "guidance_scale", "guidance_rescale", "sampler", "width", "height"};
    if (!json_.contains("request")) refuse("/request", "is missing");
    if (!json_.contains("seed")) refuse("/seed", "is missing");
    const Json& request = object("request");
    for (const char* key : kNeeded) {
      if (!request.contains(key)) refuse(cat("/request/", key), "is missing");
    }
    set("seed", json_["seed"], "/seed");
    for (const auto& [key, json] : request.items()) {
      if (std::find(kOfTheRun.begin(), kOfTheRun.end(), key) != kOfTheRun.end()) continue;
      if (json.is_null()) refuse("/request/" + key, "is null");
      const std::string text = json.is_string() ? json.get<std::string>() : json.dump();
      if (is_neutral(key, text)) continue;
      set(key, json, "/request/" + key);
    }
  }

  void read_machine() {
    out_.environment = environment_of(json_);
    if (json_.contains("dtype")) set("dtype", json_["dtype"], "/dtype");
    if (json_.contains("fast")) set("fast", json_["fast"], "/fast");
    std::string device;
    field("device", device);
    if (device == "cpu" || device == "cuda") out_.options.device = device;
    std::int64_t threads = 0;
    field("threads", threads);
    if (threads >= 1 && threads <= kMostThreads) out_.options.threads = threads;
  }

  void read_hashes() {
    if (json_.contains("weights")) {
      for (const auto& [component, json] : object("weights").items()) {
        out_.weights[component] = sha256(json, "/weights/" + component);
      }
    }
    if (!json_.contains("stages")) return;
    const Json& stages = object("stages");
    out_.stages.visit([&](const std::string& key, std::string& stage) {
      if (stages.contains(key)) stage = sha256(stages[key], "/stages/" + key);
    });
  }

  /// The objects of a list, each with all of `keys`: `read(item, path)`.
  template <typename Read>
  void each(const char* name, std::initializer_list<const char*> keys, Read&& read) const {
    if (!json_.contains(name)) return;
    const Json& list = json_[name];
    if (!list.is_array()) {
      refuse(cat("/", name), cat("expected an array, found ", list.type_name()));
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string path = cat("/", name, "/", i);
      if (!list[i].is_object()) {
        refuse(path, cat("expected an object, found ", list[i].type_name()));
      }
      for (const char* key : keys) {
        if (!list[i].contains(key)) refuse(cat(path, "/", key), "is missing");
      }
      read(list[i], path);
    }
  }

  void read_additions() {
    each("lora", {"name", "sha256", "scale"}, [this](const Json& item, const std::string& path) {
      LoraUse& lora = out_.loras.emplace_back();
      value(item["name"], lora.name, path + "/name");
      lora.sha256 = sha256(item["sha256"], path + "/sha256");
      value(item["scale"], lora.scale, path + "/scale");
      if (item.contains("from_prompt")) {
        value(item["from_prompt"], lora.from_prompt, path + "/from_prompt");
      }
    });
    each("embedding", {"name", "sha256", "word"},
         [this](const Json& item, const std::string& path) {
           EmbeddingUse& one = out_.embeddings.emplace_back();
           value(item["name"], one.name, path + "/name");
           one.sha256 = sha256(item["sha256"], path + "/sha256");
           value(item["word"], one.word, path + "/word");
         });
  }

  void read_controlnets() {
    const Json nets = json_.value("controlnet", Json::array());
    const Json pictures = json_.value("control_image_sha256", Json::array());
    if (!nets.is_array() || !pictures.is_array() || nets.size() != pictures.size()) {
      refuse("/controlnet", "expected an array, as long as /control_image_sha256");
    }
    for (std::size_t i = 0; i < nets.size(); ++i) {
      const std::string path = cat("/controlnet/", i);
      if (!nets[i].is_object() || !nets[i].contains("name") || !nets[i].contains("scale")) {
        refuse(path, "expected an object with name and scale");
      }
      ControlNetUse net;
      value(nets[i]["name"], net.name, path + "/name");
      value(nets[i]["scale"], net.scale, path + "/scale");
      out_.controlnets.push_back(std::move(net));
      out_.control_image_sha256.push_back(sha256(pictures[i], cat("/control_image_sha256/", i)));
    }
  }

  const Json& json_;
  std::string name_;
  RecordedPicture out_;
};

/// Reads the settings that another tool's text gives.
class ForeignReader {
 public:
  ForeignReader(std::vector<Setting> settings, std::string name)
      : settings_(std::move(settings)), name_(std::move(name)) {}

  RecordedPicture read() {
    out_.own = false;
    // Fields of the text that say nothing about what to draw.
    constexpr std::array<std::string_view, 3> kSilent = {"model", "model_hash", "version"};
    const bool enlarged = find_setting(settings_, "hires_resize") != nullptr;
    for (const Setting& setting : settings_) {
      const bool silent = std::find(kSilent.begin(), kSilent.end(), setting.name) != kSilent.end();
      if (silent || is_neutral(setting.name, setting.value)) continue;
      // A second pass to a size of its own is not taken over, nor is what belongs to it.
      const bool of_second_pass =
          enlarged && (setting.name == "strength" || setting.name.starts_with("hires"));
      if (of_second_pass || !take(setting)) leave_out(setting);
    }
    if (!out_.options.seed) {
      throw Error::input(cat(name_, ": its parameters text has no seed"),
                         "only a picture whose seed is known can be made again");
    }
    note_missing();
    if (const std::string* model = find_setting(settings_, "model")) out_.model = *model;
    if (const std::string* hash = find_setting(settings_, "model_hash")) {
      out_.model_hash = *hash;
    }
    return std::move(out_);
  }

 private:
  bool take(const Setting& setting) {
    const OptionSpec* spec = find_option(setting.name);
    if (spec == nullptr || !is_deciding(setting.name)) return false;
    Options one;
    if (set_from_text(*spec, setting.value, one) || !check_ranges(one).empty()) return false;
    fill_unset(out_.options, one);
    return true;
  }

  void leave_out(const Setting& setting) {
    constexpr std::size_t kShown = 60;
    std::string value = escape_control(setting.value);
    if (value.size() > kShown) value = value.substr(0, kShown) + "…";
    out_.notes.push_back(cat(escape_control(setting.name), ": \"", value, "\" is not taken over"));
  }

  void note_missing() {
    for (const char* key : {"steps", "sampler", "guidance_scale", "width", "height"}) {
      if (find_setting(settings_, key) != nullptr) continue;
      out_.notes.push_back(cat(key, " is not recorded: the model's default is used"));
    }
    const std::string prompt = out_.options.prompt.value_or("");
    const std::string* version = find_setting(settings_, "version");
    const bool plain = version != nullptr && version->starts_with("ldm-gen");
    if (!plain) read_syntax(prompt, out_.options.negative_prompt.value_or(""));
    if (!out_.options.prompt_syntax) out_.options.prompt_weighting.reset();
  }

  /// Other tools read brackets as weights, and all of a long prompt.
  void read_syntax(const std::string& prompt, const std::string& negative) {
    if ((prompt + negative).find_first_of("([<\\AB") == std::string::npos) return;
    try {
      WeightedPrompt::parse(prompt, PromptRole::kPrompt);
      WeightedPrompt::parse(negative, PromptRole::kNegative);
    } catch (const Error& error) {
      out_.notes.push_back(cat("brackets are read as plain text: ", error.message()));
      return;
    }
    out_.options.prompt_syntax = "weighted";
    out_.options.long_prompt = "chunk";
  }

  std::vector<Setting> settings_;
  std::string name_;
  RecordedPicture out_;
};

const PngText* find_text(std::span<const PngText> text, std::string_view key) {
  const auto found = std::find_if(text.begin(), text.end(),
                                  [&](const PngText& entry) { return entry.key == key; });
  return found == text.end() ? nullptr : &*found;
}

}  // namespace

std::map<std::string, std::string> environment_of(const Json& settings) {
  std::map<std::string, std::string> out;
  const auto add = [&out](const std::string& key, const Json& json) {
    if (json.is_string()) out[key] = json.get<std::string>();
    if (json.is_number_integer()) out[key] = json.dump();
  };
  for (const std::string_view key : kEnvironment) {
    if (settings.contains(key)) add(std::string(key), settings[std::string(key)]);
  }
  const Json determinism = settings.value("determinism", Json::object());
  if (!determinism.is_object()) return out;
  for (const auto& [key, json] : determinism.items()) add("determinism." + key, json);
  return out;
}

RecordedPicture read_recorded_picture(std::span<const PngText> text, const std::string& name) {
  RecordedPicture out;
  if (const PngText* own = find_text(text, "ldm-gen")) {
    const Json json = parse_settings(own->value, name);
    out = OwnReader(json, name).read();
  } else if (find_text(text, "parameters") != nullptr) {
    out = ForeignReader(recorded_settings(text, name), name).read();
  } else {
    throw Error::input(cat(name, ": it does not say how it was made"),
                       "ldm-gen writes that into its pictures unless told --metadata none");
  }
  check_prompt(out.options.prompt.value_or(""), name + ": prompt");
  check_prompt(out.options.negative_prompt.value_or(""), name + ": negative prompt");
  return out;
}

}  // namespace ldm::app
