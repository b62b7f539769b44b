#include "ldm/train/start_model.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/load_module.h"
#include "ldm/loading/single_file.h"
#include "ldm/nn/init.h"

namespace ldm::train {
namespace {

ComponentFiles description_of(const nlohmann::json& section, const std::string& name,
                              const std::string& where) {
  const auto class_name = section.find("_class_name");
  if (class_name == section.end() || !class_name->is_string()) {
    throw Error::input(cat(where, ": no _class_name, and no \"from\""),
                       "name the network's class, or a model to start from");
  }
  return {name, class_name->get<std::string>(), section, where, nullptr};
}

}  // namespace

void load_for_training(torch::nn::Module& module, const ComponentFiles& files) {
  const WeightBinding binding = bind_weights(module, *files.weights, key_map(files.class_name));
  if (!binding.complete()) throw Error::model(binding.problems(files.name));
  load_weights(module, *files.weights, binding, Execution{});
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(true);
}

StartModel start_autoencoder(const RunConfig& config) {
  const nlohmann::json section = section_of(config, "model");
  StartModel start;
  if (const auto from = section.find("from"); from != section.end() && from->is_string()) {
    start.description = open_vae_file(from->get<std::string>());
    start.autoencoder = make_autoencoder(start.description);
    load_for_training(*start.autoencoder, start.description);
    start.fine_tune = true;
    return start;
  }
  start.description = description_of(section, "vae", config.source + ": /model");
  start.autoencoder = make_autoencoder(start.description);
  nn::initialize(*start.autoencoder, static_cast<std::uint64_t>(config.run.seed));
  return start;
}

}  // namespace ldm::train
