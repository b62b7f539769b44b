#include "ldm/loading/model_files.h"

#include <array>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/io/weights_index.h"
#include "ldm/loading/config_fields.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

/// A part of a model under the names that published indexes give it.
struct ComponentRow {
  const char* name;
  std::array<const char*, 3> folders;
  const char* stem;
  bool required;
};

constexpr std::array<ComponentRow, 3> kComponents = {{
    {"text_encoder", {"text_encoder", "bert", "class_embedder"}, "model", false},
    {"unet", {"unet", nullptr, nullptr}, "diffusion_pytorch_model", true},
    {"vae", {"vae", "vqvae", nullptr}, "diffusion_pytorch_model", true},
}};

void check_is_model_folder(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) {
    throw Error::model(cat("no model at ", folder.string()),
                       "give a diffusers folder with --model, or set LDM_MODEL");
  }
  if (!fs::exists(folder / "model_index.json", error)) {
    throw Error::model(
        cat(folder.string(), " is not a diffusers model folder: no model_index.json"),
        "the folder holds model_index.json, unet/, vae/, text_encoder/, tokenizer/");
  }
}

/// The class that model_index.json names for a component, ["diffusers", "UNet2DConditionModel"];
/// empty where it names none ([null, null], or no entry).
std::string indexed_class(const nlohmann::json& index, const std::string& component,
                          const std::string& where) {
  const auto found = index.find(component);
  if (found == index.end()) return {};
  const bool pair = found->is_array() && found->size() == 2;
  if (pair && (*found)[0].is_null() && (*found)[1].is_null()) return {};
  if (!pair || !(*found)[0].is_string() || !(*found)[1].is_string()) {
    throw Error::model(cat(where, ": /", component, ": expected [library, class]"));
  }
  return (*found)[1].get<std::string>();
}

std::optional<ComponentFiles> open_component(const fs::path& folder, const nlohmann::json& index,
                                             const ComponentRow& row) {
  const std::string where = (folder / "model_index.json").string();
  for (const char* name : row.folders) {
    if (name == nullptr) break;
    std::string class_name = indexed_class(index, name, where);
    if (class_name.empty()) continue;
    const fs::path config = folder / name / "config.json";
    return ComponentFiles{
        row.name, std::move(class_name), read_json_file(config), config.string(),
        std::make_shared<WeightFiles>(WeightFiles::open(folder / name, row.stem))};
  }
  if (row.required) throw Error::model(cat(where, ": no component \"", row.name, "\""));
  return std::nullopt;
}

/// Python writes -Infinity (lambda_min_clipped), which JSON does not have: null keeps the default,
/// which is minus infinity too.
nlohmann::json read_scheduler_config(const fs::path& path) {
  constexpr std::string_view kInfinity = ": -Infinity";
  std::string text = read_small_file(path, JsonLimits{}.max_bytes);
  for (std::size_t at = text.find(kInfinity); at != std::string::npos; at = text.find(kInfinity)) {
    text.replace(at, kInfinity.size(), ": null");
  }
  return parse_json(text, JsonLimits{}, path.string());
}

GenerationDefaults read_defaults(const fs::path& path) {
  if (!fs::exists(path)) return {};
  return read_config<GenerationDefaults>(read_json_file(path), path.string());
}

}  // namespace

ModelFiles open_model_folder(const fs::path& folder) {
  check_is_model_folder(folder);
  ModelFiles model;
  model.path = folder;
  model.model_index = read_json_file(folder / "model_index.json");
  if (!model.model_index.is_object()) {
    throw Error::model(cat((folder / "model_index.json").string(), ": expected object"));
  }
  for (const ComponentRow& row : kComponents) {
    if (auto files = open_component(folder, model.model_index, row)) {
      model.components.push_back(*std::move(files));
    }
  }
  const fs::path scheduler = folder / "scheduler" / "scheduler_config.json";
  model.scheduler_config = read_scheduler_config(scheduler);
  model.scheduler_source = scheduler.string();
  const fs::path low_res = folder / "low_res_scheduler" / "scheduler_config.json";
  if (fs::exists(low_res)) model.low_res_scheduler_config = read_scheduler_config(low_res);
  model.defaults = read_defaults(folder / "generation_config.json");
  const std::string where = (folder / "model_index.json").string();
  if (!indexed_class(model.model_index, "tokenizer", where).empty()) {
    model.tokenizer = folder / "tokenizer";
  }
  const ComponentFiles* text = model.find("text_encoder");
  model.family =
      recognise_family(model.component("unet").config,
                       text != nullptr ? text->config : nlohmann::json(), model.scheduler_config);
  return model;
}

}  // namespace ldm
