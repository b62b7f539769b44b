#include "ldm/loading/model_folder.h"

#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/loading/config_fields.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

struct ComponentRow {
  const char* name;
  const char* class_name;
  const char* stem;
};

constexpr std::array<ComponentRow, 3> kComponents = {{
    {"text_encoder", "CLIPTextModel", "model"},
    {"unet", "UNet2DConditionModel", "diffusion_pytorch_model"},
    {"vae", "AutoencoderKL", "diffusion_pytorch_model"},
}};

void check_is_model_folder(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) {
    throw Error::model(cat("no model at ", folder.string()),
                       "give a diffusers folder with --model, or set LDM_MODEL");
  }
  if (!fs::is_directory(status)) {
    throw Error::model(cat(folder.string(), " is a file, not a diffusers model folder"),
                       "single-file checkpoints must be converted to a folder first");
  }
  if (!fs::exists(folder / "model_index.json", error)) {
    throw Error::model(
        cat(folder.string(), " is not a diffusers model folder: no model_index.json"),
        "the folder holds model_index.json, unet/, vae/, text_encoder/, tokenizer/");
  }
}

/// The class that model_index.json names for a component: ["diffusers", "UNet2DConditionModel"].
std::string indexed_class(const nlohmann::json& index, const std::string& component,
                          const std::string& where) {
  const auto found = index.find(component);
  if (found == index.end()) throw Error::model(cat(where, ": no component \"", component, "\""));
  const bool pair =
      found->is_array() && found->size() == 2 && (*found)[0].is_string() && (*found)[1].is_string();
  if (!pair) throw Error::model(cat(where, ": /", component, ": expected [library, class]"));
  return (*found)[1].get<std::string>();
}

ComponentFiles open_component(const fs::path& folder, const nlohmann::json& index,
                              const ComponentRow& row) {
  const std::string where = (folder / "model_index.json").string();
  const std::string class_name = indexed_class(index, row.name, where);
  if (class_name != row.class_name) {
    throw Error::model(
        cat(where, ": ", row.name, " is a ", class_name, ", ldm-gen runs ", row.class_name));
  }
  nlohmann::json config = read_json_file(folder / row.name / "config.json");
  return {row.name, class_name, std::move(config), WeightFiles::open(folder / row.name, row.stem)};
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

ModelFolder ModelFolder::open(const fs::path& folder) {
  check_is_model_folder(folder);
  ModelFolder model;
  model.path = folder;
  model.model_index = read_json_file(folder / "model_index.json");
  if (!model.model_index.is_object()) {
    throw Error::model(cat((folder / "model_index.json").string(), ": expected object"));
  }
  for (const ComponentRow& row : kComponents) {
    model.components.push_back(open_component(folder, model.model_index, row));
  }
  model.scheduler_config = read_scheduler_config(folder / "scheduler" / "scheduler_config.json");
  model.defaults = read_defaults(folder / "generation_config.json");
  model.tokenizer = folder / "tokenizer";
  model.family = recognise_family(model.component("unet").config,
                                  model.component("text_encoder").config, model.scheduler_config);
  return model;
}

const ComponentFiles& ModelFolder::component(const std::string& name) const {
  for (const ComponentFiles& files : components) {
    if (files.name == name) return files;
  }
  throw Error::internal(cat("no component ", name));
}

}  // namespace ldm
