#include "ldm/loading/single_file.h"

#include <cmath>
#include <set>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/convert.h"
#include "ldm/io/json.h"
#include "ldm/io/open_tensors.h"
#include "ldm/loading/config_fields.h"
#include "ldm/loading/data_files.h"
#include "ldm/loading/original_configs.h"
#include "ldm/loading/prediction_type.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

/// The parts of a single file before they are a model.
struct Checkpoint {
  fs::path path;
  std::shared_ptr<const TensorSource> source;
  LayoutKeys unet;
  LayoutKeys vae;
  OriginalCondition condition;
  bool averaged = false;
  std::vector<std::string> evidence;
  std::vector<std::string> dropped;
};

[[noreturn]] void throw_not_a_checkpoint(const Checkpoint& file) {
  const bool autoencoder =
      file.source->find("encoder.conv_in.weight") != nullptr || !file.vae.empty();
  const std::vector<std::string> names = file.source->names();
  constexpr std::size_t kFew = 3;
  if (autoencoder) {
    throw Error::model(cat(file.path.string(), " holds an autoencoder and no UNet"),
                       "give it with --vae, beside a --model");
  }
  throw Error::model(
      cat(file.path.string(), " is no checkpoint in the original layout: none of its ",
          names.size(), " tensors is below model.diffusion_model. (", join(names, ", ", kFew), ")"),
      "a LoRA goes with --lora, an embedding with --embedding, an autoencoder with --vae");
}

/// Plain or averaged weights: what is there, what the user says, what the family's samplers do.
void choose_unet_weights(Checkpoint& file, const CheckpointFamily& family,
                         const SingleFileOptions& options) {
  LayoutKeys averaged = averaged_unet_keys(*file.source);
  if (averaged.empty()) return;
  const bool plain_is_there = !keys_below(*file.source, "model.diffusion_model.").empty();
  const bool complete = averaged.size() >= file.unet.size();
  const bool wanted = options.averaged.value_or(family.averaged);
  file.averaged = !plain_is_there || (wanted && complete);
  if (file.averaged) file.unet = std::move(averaged);
  file.evidence.push_back(cat("UNet weights: ", file.averaged ? "averaged (model_ema.)" : "plain",
                              !plain_is_there       ? ", the only ones there"
                              : options.averaged    ? ", as asked for"
                              : wanted && !complete ? ", the averaged ones are incomplete"
                                                    : ", as the family's public samplers"));
}

CheckpointFacts facts_of(const Checkpoint& file) {
  CheckpointFacts facts;
  facts.condition = file.condition.kind;
  facts.attends = outline_original_unet(file.unet).transformer;
  facts.quantized = has_block(file.vae, "quantize");
  const TensorInfo& in = info_of(*file.source, file.unet, "input_blocks.0.0.weight");
  const TensorInfo& out = info_of(*file.source, file.unet, "out.2.weight");
  if (in.shape.size() < 2 || out.shape.empty()) {
    throw Error::model(
        cat(file.path.string(), ": \"", in.name, "\" ", describe(in), " is no convolution"));
  }
  facts.in_channels = in.shape[1];
  facts.out_channels = out.shape[0];
  return facts;
}

/// The name that `config` (a family's defaults) gives the component of one of these folders.
std::string folder_in(const Json& defaults, std::initializer_list<const char*> folders) {
  for (const char* folder : folders) {
    if (defaults.contains(folder)) return folder;
  }
  return *folders.begin();
}

ComponentFiles make_component(const Checkpoint& file, const char* name, Json config,
                              std::shared_ptr<const TensorSource> weights,
                              const std::string& class_name) {
  return {name, class_name, std::move(config), file.path.string() + " (inferred config)",
          std::move(weights)};
}

ComponentFiles make_unet(Checkpoint& file, const Json& defaults, const CheckpointFamily& family) {
  UNetOutline outline = outline_original_unet(file.unet);
  // The rule for heads needs widths, and cutting qkv needs heads.
  std::vector<std::int64_t> widths;
  for (std::size_t i = 0; i < outline.levels; ++i) {
    const std::string key =
        cat("input_blocks.", 1 + i * (outline.layers + 1), ".0.out_layers.3.weight");
    const TensorInfo& info = info_of(*file.source, file.unet, key);
    widths.push_back(info.shape.empty() ? 1 : info.shape.front());
  }
  outline.heads = heads_by_level(widths, family);
  auto view = std::make_shared<RenamedTensors>(file.source);
  add_from_original(*view, *file.source, file.unet, unet_blocks(outline));
  Json config = defaults.at("unet");
  infer_unet_config(config, outline, *view, family, file.evidence);
  return make_component(file, "unet", config, view, config["_class_name"].get<std::string>());
}

/// What multiplies latents: the file's own scale_factor (models trained with scale_by_std) or the
/// family's.
void set_scaling_factor(Checkpoint& file, Json& config) {
  const TensorInfo* info = file.source->find("scale_factor");
  if (info == nullptr || !is_floating(info->dtype) || info->byte_size() > sizeof(double)) {
    file.evidence.push_back(
        cat("latents are scaled by ", config.value("scaling_factor", 1.0), ", the family's"));
    return;
  }
  const std::vector<float> values = read_floats(*file.source, "scale_factor");
  if (values.size() != 1 || !std::isfinite(values[0]) || values[0] <= 0) {
    throw Error::model(cat(file.path.string(), ": scale_factor is no positive number"));
  }
  config["scaling_factor"] = static_cast<double>(values[0]);
  file.evidence.push_back(cat("latents are scaled by ", values[0], ", the file's scale_factor"));
}

ComponentFiles make_vae(Checkpoint& file, const Json& defaults) {
  const VaeOutline outline = outline_original_vae(file.vae);
  auto view = std::make_shared<RenamedTensors>(file.source);
  add_from_original(*view, *file.source, file.vae, vae_blocks(outline));
  Json config = defaults.at(folder_in(defaults, {"vae", "vqvae"}));
  infer_vae_config(config, outline, *view, file.evidence);
  set_scaling_factor(file, config);
  return make_component(file, "vae", config, view, config["_class_name"].get<std::string>());
}

/// Lists what no component reads, and warns of what is not known to be useless.
void list_unused(Checkpoint& file, const std::vector<ComponentFiles>& components) {
  std::set<std::string> used;
  for (const ComponentFiles& component : components) {
    const auto& view = static_cast<const RenamedTensors&>(*component.weights);
    for (const std::string& name : view.names()) {
      for (const TensorPiece& piece : view.pieces(name)) used.insert(piece.source);
    }
  }
  std::set<std::string> explained;
  for (const std::string& line : file.dropped) explained.insert(line.substr(0, line.find(": ")));
  std::vector<std::string> unknown;
  for (const std::string& name : file.source->names()) {
    if (used.contains(name) || explained.contains(name)) continue;
    const DroppedTensor* row = find_dropped(name);
    if (row != nullptr) {
      file.dropped.push_back(cat(name, ": ", row->why));
    } else if (file.averaged && name.starts_with("model.diffusion_model.")) {
      file.dropped.push_back(cat(name, ": the plain weights, the averaged ones are used"));
    } else {
      file.dropped.push_back(cat(name, ": unknown"));
      unknown.push_back(name);
    }
  }
  if (unknown.empty()) return;
  constexpr std::size_t kMost = 10;
  log_warning("unknown-tensors", cat(file.path.string(), ": ", unknown.size(),
                                     " tensors belong to nothing known here and are not used: ",
                                     join(unknown, ", ", kMost)));
}

/// The family's defaults, with the choice between the two kinds of Stable Diffusion 2 made.
Json choose_defaults(Checkpoint& file, const CheckpointFamily& family,
                     const SingleFileOptions& options) {
  PredictionType prediction =
      stated_prediction_type(file.path, options.prediction_type, *file.source);
  const bool guessed = prediction.type.empty() && family.v_config != nullptr;
  if (guessed) prediction = guessed_prediction_type(*file.source, file.unet);
  const bool is_v = prediction.type == "v_prediction";
  Json defaults =
      family_defaults(is_v && family.v_config != nullptr ? family.v_config : family.config);
  if (prediction.type.empty()) return defaults;
  defaults["scheduler"]["prediction_type"] = prediction.type;
  const std::string fact =
      cat("prediction type ", prediction.type, ", decided by ", prediction.decided_by);
  file.evidence.push_back(fact);
  if (guessed) {
    log_warning("prediction-type", cat(file.path.string(), ": ", fact),
                "if pictures are noise, say --prediction-type epsilon or v_prediction");
  } else if (family.v_config != nullptr && options.prediction_type.empty()) {
    log_warning("prediction-type", cat(file.path.string(), ": ", fact));
  }
  return defaults;
}

Json model_index_of(const Json& defaults, const CheckpointFamily& family,
                    const std::vector<ComponentFiles>& components) {
  Json index = defaults.at("model_index");
  if (family.pipeline != nullptr) index["_class_name"] = family.pipeline;
  for (const ComponentFiles& component : components) {
    const std::string folder =
        component.name == "vae" ? folder_in(defaults, {"vae", "vqvae"})
        : component.name == "unet"
            ? "unet"
            : folder_in(defaults, {"text_encoder", "bert", "class_embedder"});
    if (index.contains(folder)) index[folder][1] = component.class_name;
  }
  return index;
}

Checkpoint read_checkpoint(const fs::path& path, std::shared_ptr<const TensorSource> source) {
  Checkpoint file;
  file.path = path;
  file.source = std::move(source);
  file.vae = keys_below(*file.source, "first_stage_model.");
  std::erase_if(file.vae, [](const auto& item) { return find_dropped(item.second) != nullptr; });
  file.unet = keys_below(*file.source, "model.diffusion_model.");
  if (file.unet.empty()) file.unet = averaged_unet_keys(*file.source);
  if (file.unet.empty()) throw_not_a_checkpoint(file);
  file.condition = find_condition(*file.source, file.dropped);
  if (file.vae.empty()) {
    throw Error::model(cat(path.string(), " holds a UNet and no autoencoder"),
                       "get the whole checkpoint");
  }
  return file;
}

GenerationDefaults defaults_of(const Json& defaults) {
  GenerationDefaults generation;
  const auto found = defaults.find("generation_config");
  if (found != defaults.end()) read_fields(*found, generation, "generation_config");
  return generation;
}

}  // namespace

Json family_defaults(const std::string& name) {
  const std::string relative = cat("configs/", name, ".json");
  const fs::path path = find_data(relative);
  if (path.empty()) {
    throw Error::model(cat(relative, " was not found beside the program"),
                       "the installation is incomplete: install or build again");
  }
  return read_json_file(path);
}

ModelFiles open_single_file(const fs::path& path, const SingleFileOptions& options) {
  return open_checkpoint(path, open_tensors(path), options);
}

ModelFiles open_checkpoint(const fs::path& path, std::shared_ptr<const TensorSource> source,
                           const SingleFileOptions& options) {
  Checkpoint file = read_checkpoint(path, std::move(source));
  const CheckpointFamily& family = find_checkpoint_family(facts_of(file));
  choose_unet_weights(file, family, options);
  const Json defaults = choose_defaults(file, family, options);
  ModelFiles model;
  model.path = path;
  if (file.condition.kind != ConditionKind::kNone) {
    auto view = std::make_shared<RenamedTensors>(file.source);
    add_from_original(*view, *file.source, file.condition.keys, file.condition.blocks);
    const std::string folder = folder_in(defaults, {file.condition.folder.c_str()});
    Json config = condition_config(file.condition, defaults.at(folder), *view, file.evidence);
    if (options.needs_tokenizer) {
      model.tokenizer = find_tokenizer(path, file.condition.kind, config);
    }
    model.components.push_back(
        make_component(file, "text_encoder", std::move(config), view, file.condition.class_name));
  }
  model.components.push_back(make_unet(file, defaults, family));
  model.components.push_back(make_vae(file, defaults));
  list_unused(file, model.components);
  model.model_index = model_index_of(defaults, family, model.components);
  model.scheduler_config = defaults.at("scheduler");
  model.scheduler_source = cat("configs/", family.config, ".json");
  if (defaults.contains("low_res_scheduler")) {
    model.low_res_scheduler_config = defaults["low_res_scheduler"];
  }
  model.defaults = defaults_of(defaults);
  model.family = {family.name, std::move(file.evidence)};
  model.dropped = std::move(file.dropped);
  return model;
}

}  // namespace ldm
