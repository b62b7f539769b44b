#include "ldm/train/start_model.h"

#include <c10/core/GradMode.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/load_module.h"
#include "ldm/loading/single_file.h"
#include "ldm/models/autoencoder_kl.h"
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

/// The last layers of ResNet blocks and of transformers.
void zero_residuals(torch::nn::Module& module) {
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    if (item.key().ends_with(".conv2") || item.key().ends_with(".proj_out")) {
      nn::zero(*item.value());
    }
  }
}

/// Makes the posterior's deviation a constant; `layer` gives means and log variances.
void set_log_variance(nn::Conv2dImpl& layer, double value) {
  const c10::AutoGradMode no_grad(false);
  const std::int64_t half = layer.weight.size(0) / 2;
  layer.weight.narrow(0, half, half).zero_();
  layer.bias.narrow(0, half, half).fill_(value);
}

}  // namespace

void fill_for_training(torch::nn::Module& module, const RunConfig& config) {
  nn::initialize(module, static_cast<std::uint64_t>(config.run.seed));
  if (config.start.zero_residuals) zero_residuals(module);
  auto* autoencoder = dynamic_cast<models::AutoencoderKLImpl*>(&module);
  if (autoencoder == nullptr || config.start.posterior_log_variance == 0) return;
  set_log_variance(
      autoencoder->quant_conv ? *autoencoder->quant_conv : *autoencoder->encoder->conv_out,
      config.start.posterior_log_variance);
}

void load_for_training(torch::nn::Module& module, const ComponentFiles& files) {
  const WeightBinding binding = bind_weights(module, *files.weights, key_map(files.class_name));
  if (!binding.complete()) throw Error::model(binding.problems(files.name));
  load_weights(*files.weights, binding, Execution{});
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
  fill_for_training(*start.autoencoder, config);
  return start;
}

}  // namespace ldm::train
