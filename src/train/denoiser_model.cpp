#include "ldm/train/denoiser_model.h"

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/fields.h"
#include "ldm/io/json.h"
#include "ldm/io/weights_index.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/load_module.h"
#include "ldm/loading/single_file.h"
#include "ldm/train/start_model.h"

namespace ldm::train {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

/// A component by the names that published indexes give it.
struct PartRow {
  const char* name;
  std::array<const char*, 3> folders;
  const char* stem;
};
constexpr std::array<PartRow, 3> kParts = {{
    {"text_encoder", {"text_encoder", "bert", "class_embedder"}, "model"},
    {"unet", {"unet", nullptr, nullptr}, "diffusion_pytorch_model"},
    {"vae", {"vae", "vqvae", nullptr}, "diffusion_pytorch_model"},
}};

class ModelSection {
 public:
  ModelSection(const Json& section, std::string where)
      : section_(section), where_(std::move(where)) {}

  ModelFiles files() const {
    ModelFiles files;
    files.path = where_;
    files.model_index = object("model_index");
    files.scheduler_config = object("scheduler");
    files.scheduler_source = where_ + "/scheduler";
    if (section_.contains("generation_config")) {
      read_fields(section_.at("generation_config"), files.defaults, where_ + "/generation_config");
    }
    for (const PartRow& row : kParts) add_part(row, files);
    if (section_.contains("tokenizer")) files.tokenizer = text("tokenizer");
    refuse_unknown();
    return files;
  }

 private:
  Json object(const std::string& key) const {
    const auto found = section_.find(key);
    if (found == section_.end() || !found->is_object()) {
      throw Error::input(cat(where_, ": /", key, " is missing or no object"),
                         "a model section has the form of configs/*.json, or {\"from\": PATH}");
    }
    return *found;
  }

  std::string text(const std::string& key) const {
    const Json& value = section_.at(key);
    if (!value.is_string()) throw Error::input(cat(where_, ": /", key, " is no path"));
    return value.get<std::string>();
  }

  /// The class that the index names for a component.
  std::string indexed_class(const Json& index, const char* name) const {
    const auto found = index.find(name);
    if (found == index.end() || !found->is_array() || found->size() != 2 ||
        !(*found)[1].is_string()) {
      throw Error::input(cat(where_, "/model_index: no class for ", name));
    }
    return (*found)[1].get<std::string>();
  }

  void add_part(const PartRow& row, ModelFiles& files) const {
    for (const char* name : row.folders) {
      if (name == nullptr || !section_.contains(name)) continue;
      const Json& value = section_.at(name);
      ComponentFiles part;
      if (value.is_string()) {
        part = open_part(row, value.get<std::string>(), files.model_index, name);
      } else {
        part = {row.name, indexed_class(files.model_index, name), value, cat(where_, "/", name),
                nullptr};
      }
      files.components.push_back(std::move(part));
      return;
    }
  }

  ComponentFiles open_part(const PartRow& row, const fs::path& path, const Json& index,
                           const char* name) const {
    if (std::string_view(row.name) == "vae") return open_vae_file(path);
    return {row.name, indexed_class(index, name), read_json_file(path / "config.json"),
            (path / "config.json").string(),
            std::make_shared<WeightFiles>(WeightFiles::open(path, row.stem))};
  }

  void refuse_unknown() const {
    std::vector<std::string> known = {"model_index", "scheduler", "tokenizer", "generation_config",
                                      "train_text_encoder"};
    for (const PartRow& row : kParts) {
      for (const char* name : row.folders) {
        if (name != nullptr) known.emplace_back(name);
      }
    }
    for (const auto& item : section_.items()) {
      if (item.key().front() == '_') continue;
      if (std::find(known.begin(), known.end(), item.key()) == known.end()) {
        throw Error::input(cat(where_, ": unknown key ", item.key()),
                           did_you_mean(item.key(), known));
      }
    }
  }

  const Json& section_;
  std::string where_;
};

/// Weights from the files where there are any, else random ones.
void fill(torch::nn::Module& module, const ComponentFiles& files, const RunConfig& config) {
  if (files.weights) {
    load_for_training(module, files);
  } else {
    fill_for_training(module, config);
  }
}

}  // namespace

DenoiserModel start_denoiser(const RunConfig& config) {
  const Json section = section_of(config, "model");
  const std::string where = config.source + ": /model";
  if (config.start.freeze_encoder) {
    throw Error::input(cat(config.source,
                           ": /start: freeze_encoder: a denoiser's autoencoder "
                           "never learns"));
  }
  DenoiserModel model;
  const auto from = section.find("from");
  if (from != section.end() && from->is_string()) {
    model.files = open_model(from->get<std::string>());
  } else {
    try {
      model.files = ModelSection(section, where).files();
    } catch (Error& error) {
      throw error.with_code(ErrorCode::kInput);
    }
  }
  const auto learns = section.find("train_text_encoder");
  if (learns != section.end()) read_field(*learns, model.train_text_encoder, where);
  for (const char* name : {"unet", "vae"}) {
    if (model.files.find(name) == nullptr) throw Error::input(cat(where, ": no ", name));
  }
  model.unet = make_denoiser(model.files.component("unet"));
  fill(*model.unet, model.files.component("unet"), config);
  model.vae = make_autoencoder(model.files.component("vae"));
  fill(*model.vae, model.files.component("vae"), config);
  for (at::Tensor& parameter : model.vae->parameters()) parameter.requires_grad_(false);
  if (const ComponentFiles* text = model.files.find("text_encoder")) {
    model.text_encoder = make_text_encoder(*text);
    fill(*model.text_encoder, *text, config);
    for (at::Tensor& parameter : model.text_encoder->parameters()) {
      parameter.requires_grad_(model.train_text_encoder);
    }
  }
  if (!model.files.tokenizer.empty()) model.tokenizer = open_tokenizer(model.files.tokenizer);
  return model;
}

}  // namespace ldm::train
