#include "ldm/loading/lora_file.h"

#include <algorithm>
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
#include "ldm/io/safetensors.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr const char* kDiffusersFile = "pytorch_lora_weights.safetensors";
constexpr const char* kSettingsKey = "lora_adapter_metadata";

/// How a tensor's name ends, and what it then is.
struct RoleRow {
  std::string_view ending;
  LoraRole role;
};
constexpr auto kRoles = std::to_array<RoleRow>({
    {".lora_B.weight", LoraRole::kUp},
    {".lora_A.weight", LoraRole::kDown},
    {".lora_up.weight", LoraRole::kUp},
    {".lora_mid.weight", LoraRole::kMid},
    {".lora_down.weight", LoraRole::kDown},
    {".lora.up.weight", LoraRole::kUp},
    {".lora.down.weight", LoraRole::kDown},
    {".lora_linear_layer.up.weight", LoraRole::kUp},
    {".lora_linear_layer.down.weight", LoraRole::kDown},
    {"_lora.up.weight", LoraRole::kUp},
    {"_lora.down.weight", LoraRole::kDown},
    {".hada_w1_a", LoraRole::kHada1A},
    {".hada_w1_b", LoraRole::kHada1B},
    {".hada_w2_a", LoraRole::kHada2A},
    {".hada_w2_b", LoraRole::kHada2B},
    {".hada_t1", LoraRole::kHadaT1},
    {".hada_t2", LoraRole::kHadaT2},
    {".lokr_w1", LoraRole::kKron1},
    {".lokr_w1_a", LoraRole::kKron1A},
    {".lokr_w1_b", LoraRole::kKron1B},
    {".lokr_w2", LoraRole::kKron2},
    {".lokr_w2_a", LoraRole::kKron2A},
    {".lokr_w2_b", LoraRole::kKron2B},
    {".lokr_t2", LoraRole::kKronT2},
    {".diff", LoraRole::kDiff},
    {".diff_b", LoraRole::kBiasDiff},
    {".w_norm", LoraRole::kDiff},
    {".b_norm", LoraRole::kBiasDiff},
    {".dora_scale", LoraRole::kDora},
    {".lora_magnitude_vector", LoraRole::kDora},
    {".lora_magnitude_vector.weight", LoraRole::kDora},
    {".alpha", LoraRole::kAlpha},
});

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

std::vector<std::string> LoraLayer::names() const {
  std::vector<std::string> names;
  for (const std::string& tensor_name : tensors) {
    if (!tensor_name.empty()) names.push_back(tensor_name);
  }
  return names;
}

bool LoraLayer::is_whole() const {
  using R = LoraRole;
  const auto all = [this](std::initializer_list<R> roles) {
    return std::all_of(roles.begin(), roles.end(), [this](R role) { return has(role); });
  };
  const auto any = [this](std::initializer_list<R> roles) {
    return std::any_of(roles.begin(), roles.end(), [this](R role) { return has(role); });
  };
  const bool first = has(R::kKron1) || all({R::kKron1A, R::kKron1B});
  const bool second = has(R::kKron2) || all({R::kKron2A, R::kKron2B});
  int kinds = 0;
  int begun = 0;
  const auto count = [&](bool begins, bool whole) {
    kinds += whole ? 1 : 0;
    begun += begins ? 1 : 0;
  };
  count(any({R::kUp, R::kMid, R::kDown}), all({R::kUp, R::kDown}));
  count(
      any({R::kHada1A, R::kHada1B, R::kHada2A, R::kHada2B}),
      all({R::kHada1A, R::kHada1B, R::kHada2A, R::kHada2B}) && has(R::kHadaT1) == has(R::kHadaT2));
  count(any({R::kKron1, R::kKron1A, R::kKron1B, R::kKron2, R::kKron2A, R::kKron2B}),
        first && second);
  count(has(R::kDiff), has(R::kDiff));
  return kinds == begun && (kinds == 1 || (kinds == 0 && has(R::kBiasDiff)));
}

LoraFile::LoraFile(const fs::path& given) : path(file_in(given)), source(open_tensors(path)) {
  sha256 = sha256_file(path);
  throw_on_mismatch(check_integrity(path, sha256), path);
  const bool has_header = path.extension() == ".safetensors";
  data_sha256 = has_header ? sha256_file(path, SafetensorsFile(path).header().data_offset) : sha256;
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
    layer->second.tensors[static_cast<std::size_t>(row->role)] = name;
  }
  for (auto& item : by_base) layers.push_back(std::move(item.second));
  const auto stored = source->metadata().find(kSettingsKey);
  if (stored == source->metadata().end()) return;
  settings = parse_json(stored->second, {}, cat(path.string(), ": ", kSettingsKey));
  if (!settings.is_object()) settings = nlohmann::json::object();
}

std::int64_t LoraFile::rank_of(const LoraLayer& layer) const {
  for (const LoraRole role :
       {LoraRole::kDown, LoraRole::kHada1B, LoraRole::kKron2B, LoraRole::kKron1B}) {
    if (!layer.has(role)) continue;
    const std::vector<std::int64_t>& shape = source->find(layer.tensor(role))->shape;
    return shape.empty() ? 0 : shape.front();
  }
  return 0;
}

double LoraFile::factor(const LoraLayer& layer) const {
  const auto setting = [&](const char* key) {
    const auto found = settings.find(cat(layer.component, ".", key));
    return found == settings.end() ? nlohmann::json() : *found;
  };
  std::optional<double> alpha;
  if (layer.has(LoraRole::kAlpha)) {
    const std::string& name = layer.tensor(LoraRole::kAlpha);
    const std::vector<float> values = read_floats(*source, name);
    if (values.size() == 1) alpha = values.front();
    if (!alpha || !std::isfinite(*alpha)) {
      throw Error::model(cat(path.string(), ": \"", name, "\" is no finite number"));
    }
  }
  const auto rank = static_cast<double>(rank_of(layer));
  if (rank < 1) return 1.0;
  if (!alpha) alpha = by_pattern(setting("alpha_pattern"), layer.name);
  if (!alpha) alpha = number(setting("lora_alpha"));
  if (!alpha) return 1.0;
  return *alpha / (setting("use_rslora") == true ? std::sqrt(rank) : rank);
}

}  // namespace ldm
