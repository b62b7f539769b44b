#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"
#include "ldm/loading/family.h"

namespace ldm {

/// A model's own recommended settings: its optional generation_config.json.
struct GenerationDefaults {
  std::optional<std::int64_t> num_inference_steps;
  std::optional<double> guidance_scale;
  std::optional<double> guidance_rescale;
  std::optional<std::string> sampler;
  std::optional<std::int64_t> width;
  std::optional<std::int64_t> height;

  template <typename Visitor>
  void visit(Visitor&& v) {
    v("num_inference_steps", num_inference_steps);
    v("guidance_scale", guidance_scale);
    v("guidance_rescale", guidance_rescale);
    v("sampler", sampler);
    v("width", width);
    v("height", height);
  }
};

/// One component with weights: its parsed config.json and its tensors' index (headers only).
struct ComponentFiles {
  std::string name;  ///< text_encoder, unet, vae, whatever the model's index calls it
  std::string class_name;
  nlohmann::json config;
  std::string config_source;  ///< file that the config comes from, for messages
  std::shared_ptr<const TensorSource> weights;
};

/// A model's files opened and checked as far as that goes without reading weights: JSON files
/// parsed, tensor headers read, all of it as a diffusers folder would have it whatever the layout.
struct ModelFiles {
  /// The component of that name, or null.
  const ComponentFiles* find(const std::string& name) const;
  /// The component of that name; Error::internal when there is none.
  const ComponentFiles& component(const std::string& name) const;
  ComponentFiles& component(const std::string& name);

  std::filesystem::path path;
  nlohmann::json model_index;
  nlohmann::json scheduler_config;
  nlohmann::json low_res_scheduler_config;  ///< the upscaler's second schedule, else null
  std::string scheduler_source;             ///< file of scheduler_config, for messages
  GenerationDefaults defaults;
  std::vector<ComponentFiles> components;  ///< text_encoder (where there is one), unet, vae
  std::filesystem::path tokenizer;         ///< its folder; empty for a model without one
  Family family;
  /// Tensors of a single file that no component uses, "name: why".
  std::vector<std::string> dropped;
};

/// Number of elements of all tensors of a component.
std::int64_t stored_parameters(const ComponentFiles& files);

/// Opens a diffusers folder. Throws Error::model (4) for anything wrong with it.
ModelFiles open_model_folder(const std::filesystem::path& folder);

/// Opens a model in any layout: a diffusers folder or a single file. `prediction_type` is what the
/// user says of a single file ("v_prediction"), empty where nothing was said.
ModelFiles open_model(const std::filesystem::path& path, const std::string& prediction_type = {});

/// The folder that `--model` names: a path, or `org/name` in the local Hugging Face cache
/// ($HF_HOME, refs/main). Never the network. Throws Error::model with what was looked at.
std::filesystem::path find_model(const std::string& model);

/// Whether a name can be that of a repository, "org/name", and no path.
bool is_repository_name(const std::string& model);

/// The model used when none is named: weights/default beside the source or the installed program.
std::filesystem::path default_model();

}  // namespace ldm
