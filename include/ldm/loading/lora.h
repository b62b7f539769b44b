#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ldm/loading/lora_file.h"
#include "ldm/loading/lora_request.h"
#include "ldm/loading/weight_updates.h"

namespace ldm {

/// The layers of one module that a LoRA may change, by all names that files give them: diffusers',
/// the original layout's, those of diffusers' first form; each with dots and with underscores.
class LoraTargets {
 public:
  explicit LoraTargets(const torch::nn::Module& module);

  /// The layer's weight, or null.
  const std::string* find(const std::string& name) const;
  /// Empty for no parameter of that name.
  at::IntArrayRef shape(const std::string& parameter) const;

 private:
  void add(const std::string& name, const std::string& parameter);
  void add_original_names();

  std::map<std::string, std::vector<std::int64_t>> shapes_;
  std::map<std::string, std::string> by_name_;
};

/// Modules by component name ("unet", "text_encoder").
using LoraModules = std::map<std::string, const torch::nn::Module*>;

/// Matches LoRA files against a model's modules, each file once.
class LoraMatcher {
 public:
  explicit LoraMatcher(const LoraModules& modules);

  /// What files of a request change; reads no factors. Error::model for tensors that match nothing
  /// (unless `partial`, and always where nothing matches), that do not fit their weight's shape or
  /// lack their other half: counts and first names.
  std::vector<LoraUse> match(const LoraRequest& request);

  /// The changes of all files of a request that `match` took, one after the other, by component.
  std::map<std::string, WeightUpdates> updates(const LoraRequest& request) const;

 private:
  /// One file, its changes at strength 1.
  struct Matched {
    LoraUse use;
    std::map<std::string, WeightUpdates> updates;
  };
  struct Misfits;

  const Matched& match_file(const LoraChoice& choice, bool partial);
  bool add_layer(const LoraFile& file, const LoraLayer& layer, Matched& out, Misfits& misfits);

  std::map<std::string, LoraTargets> targets_;
  std::map<std::filesystem::path, Matched> files_;
};

}  // namespace ldm
