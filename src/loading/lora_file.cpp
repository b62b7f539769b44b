#include "ldm/loading/lora_file.h"

#include <array>
#include <cmath>
#include <optional>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/io/convert.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/io/open_tensors.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr const char* kDiffusersFile = "pytorch_lora_weights.safetensors";
constexpr const char* kSettingsKey = "lora_adapter_metadata";

/// How a tensor's name ends, and what it then is.
struct RoleRow {
  std::string_view ending;
  std::string LoraLayer::*role;
};
constexpr std::array<RoleRow, 12> kRoles = {{
    {".lora_B.weight", &LoraLayer::up},
    {".lora_A.weight", &LoraLayer::down},
    {".lora_up.weight", &LoraLayer::up},
    {".lora_mid.weight", &LoraLayer::mid},
    {".lora_down.weight", &LoraLayer::down},
    {".lora.up.weight", &LoraLayer::up},
    {".lora.down.weight", &LoraLayer::down},
    {".lora_linear_layer.up.weight", &LoraLayer::up},
    {".lora_linear_layer.down.weight", &LoraLayer::down},
    {"_lora.up.weight", &LoraLayer::up},
    {"_lora.down.weight", &LoraLayer::down},
    {".alpha", &LoraLayer::alpha},
}};

struct ComponentRow {
  std::string_view prefix;
  const char* component;
};
/// Files of diffusers' first form hold the UNet's layers without a prefix.
constexpr std::array<ComponentRow, 5> kComponents = {{
    {"unet.", "unet"},
    {"text_encoder.", "text_encoder"},
    {"lora_unet_", "unet"},
    {"lora_te_", "text_encoder"},
    {"", "unet"},
}};

/// "attn1.processor.to_q" is a form of "attn1.to_q".
std::string without_processor(std::string name) {
  constexpr std::string_view kSegment = ".processor";
  const std::size_t at = name.find(cat(kSegment, "."));
  if (at != std::string::npos) name.erase(at, kSegment.size());
  return name;
}

const RoleRow* role_of(std::string_view tensor) {
  for (const RoleRow& row : kRoles) {
    if (tensor.ends_with(row.ending) && tensor.size() > row.ending.size()) return &row;
  }
  return nullptr;
}

LoraLayer named_layer(const std::string& base) {
  LoraLayer layer;
  for (const ComponentRow& row : kComponents) {
    if (!base.starts_with(row.prefix)) continue;
    layer.component = row.component;
    layer.name = without_processor(base.substr(row.prefix.size()));
    break;
  }
  return layer;
}

fs::path file_in(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) ? path / kDiffusersFile : path;
}

std::optional<double> number(const nlohmann::json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

/// The pattern's value whose key is the layer's name or ends it, as peft matches them.
std::optional<double> by_pattern(const nlohmann::json& patterns, const std::string& name) {
  if (!patterns.is_object()) return std::nullopt;
  for (const auto& [key, value] : patterns.items()) {
    if (name == key || name.ends_with(cat(".", key))) return number(value);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> LoraLayer::tensors() const {
  std::vector<std::string> names;
  for (const std::string& tensor : {up, mid, down, alpha}) {
    if (!tensor.empty()) names.push_back(tensor);
  }
  return names;
}

LoraFile::LoraFile(const fs::path& given) : path(file_in(given)), source(open_tensors(path)) {
  sha256 = sha256_file(path);
  throw_on_mismatch(check_integrity(path, sha256), path);
  std::map<std::string, LoraLayer> by_base;
  for (const std::string& name : source->names()) {
    const RoleRow* row = role_of(name);
    if (row == nullptr) {
      others.push_back(name);
      continue;
    }
    const std::string base = name.substr(0, name.size() - row->ending.size());
    const auto [layer, added] = by_base.emplace(base, LoraLayer());
    if (added) layer->second = named_layer(base);
    layer->second.*row->role = name;
  }
  for (auto& item : by_base) layers.push_back(std::move(item.second));
  const auto stored = source->metadata().find(kSettingsKey);
  if (stored == source->metadata().end()) return;
  settings = parse_json(stored->second, {}, cat(path.string(), ": ", kSettingsKey));
  if (!settings.is_object()) settings = nlohmann::json::object();
}

double LoraFile::factor(const LoraLayer& layer, std::int64_t rank) const {
  const auto setting = [&](const char* key) {
    const auto found = settings.find(cat(layer.component, ".", key));
    return found == settings.end() ? nlohmann::json() : *found;
  };
  std::optional<double> alpha;
  if (!layer.alpha.empty()) {
    const std::vector<float> values = read_floats(*source, layer.alpha);
    if (values.size() == 1) alpha = values.front();
    if (!alpha || !std::isfinite(*alpha)) {
      throw Error::model(cat(path.string(), ": \"", layer.alpha, "\" is no finite number"));
    }
  }
  if (!alpha) alpha = by_pattern(setting("alpha_pattern"), layer.name);
  if (!alpha) alpha = number(setting("lora_alpha"));
  const auto size = static_cast<double>(rank);
  if (!alpha) return 1.0;
  return *alpha / (setting("use_rslora") == true ? std::sqrt(size) : size);
}

}  // namespace ldm
