#include "ldm/train/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/nn/lora.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

const std::vector<std::string> kTextTargets = {"q_proj", "k_proj", "v_proj", "out_proj"};

bool is_down(const std::string& name) { return name.ends_with(".lora_A.weight"); }
bool is_lora(const std::string& name) { return is_down(name) || name.ends_with(".lora_B.weight"); }

void freeze(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
}

/// First values of the new parameters below `module`.
void start(torch::nn::Module& module, const std::string& prefix, std::uint64_t seed) {
  const c10::AutoGradMode no_grad(false);
  for (auto& item : module.named_parameters()) {
    if (!is_lora(item.key())) continue;
    at::Tensor& parameter = item.value();
    if (is_down(item.key())) {
      const auto fan_in = static_cast<double>(parameter.numel() / parameter.size(0));
      const at::Generator draw = draw_for(seed, cat("lora ", prefix, item.key()), 0);
      parameter.set_data((2 * at::rand(parameter.sizes(), draw) - 1) / std::sqrt(fan_in));
    } else {
      parameter.set_data(at::zeros(parameter.sizes()));
    }
    parameter.requires_grad_(true);
  }
}

void add_to(torch::nn::Module& module, const std::string& prefix, const LoraConfig& lora,
            const std::vector<std::string>& targets, const RunConfig& config) {
  const std::vector<std::string> names = nn::add_lora(
      module, {.rank = lora.rank, .alpha = lora.scale_numerator(), .target_modules = targets});
  for (const std::string& target : targets) {
    const bool found = std::any_of(names.begin(), names.end(), [&target](const std::string& name) {
      return name == target || name.ends_with(cat(".", target));
    });
    if (!found) {
      throw Error::input(
          cat(config.source, ": /lora: no layer of the ", prefix, " is called ", target),
          "ldm-gen inspect lists a model's tensors; give the end of a layer's name");
    }
  }
  start(module, prefix, static_cast<std::uint64_t>(config.run.seed));
}

/// peft's LoraConfig of one component, keys as diffusers stores them.
void describe(nlohmann::json& settings, const std::string& component, const LoraConfig& lora,
              const std::vector<std::string>& targets) {
  settings[component + ".r"] = lora.rank;
  settings[component + ".lora_alpha"] = lora.scale_numerator();
  settings[component + ".target_modules"] = targets;
}

}  // namespace

void LoraConfig::validate(const std::string& where) const {
  if (rank < 1) throw Error::input(cat(where, ": /rank is less than 1"));
  if (alpha && !(*alpha > 0)) throw Error::input(cat(where, ": /alpha is not positive"));
  if (target_modules.empty()) throw Error::input(cat(where, ": /target_modules is empty"));
}

std::optional<LoraConfig> read_lora(const RunConfig& config) {
  if (!config.document.contains("lora")) return std::nullopt;
  return read_section<LoraConfig>(config, "lora");
}

void add_lora(DenoiserModel& model, const LoraConfig& lora, const RunConfig& config) {
  if (model.train_text_encoder) {
    throw Error::input(cat(config.source, ": train_text_encoder and /lora exclude each other"),
                       "/lora/text_encoder learns low-rank changes of the text encoder");
  }
  if (lora.text_encoder && !model.text_encoder) {
    throw Error::input(cat(config.source, ": /lora/text_encoder: the model has no text encoder"));
  }
  freeze(*model.unet);
  add_to(*model.unet, "unet", lora, lora.target_modules, config);
  if (model.text_encoder) freeze(*model.text_encoder);
  if (lora.text_encoder) add_to(*model.text_encoder, "text_encoder", lora, kTextTargets, config);
}

TensorMap lora_tensors(const DenoiserModel& model) {
  TensorMap tensors = named_tensors(*model.unet, "unet.");
  if (model.text_encoder) tensors.merge(named_tensors(*model.text_encoder, "text_encoder."));
  std::erase_if(tensors, [](const auto& item) { return !is_lora(item.first); });
  return tensors;
}

TensorMap merged_tensors(const torch::nn::Module& module, const LoraConfig& lora) {
  const c10::AutoGradMode no_grad(false);
  TensorMap tensors = named_tensors(module);
  const double scale = lora.scale_numerator() / static_cast<double>(lora.rank);
  constexpr std::string_view kDown = "lora_A.weight";
  for (const auto& [name, down] : named_tensors(module)) {
    if (!is_down(name)) continue;
    const std::string layer = name.substr(0, name.size() - kDown.size());
    const at::Tensor& up = tensors.at(layer + "lora_B.weight");
    at::Tensor& weight = tensors.at(layer + "weight");
    weight = weight + scale * at::mm(up.flatten(1), down.flatten(1)).view(weight.sizes());
  }
  std::erase_if(tensors, [](const auto& item) { return is_lora(item.first); });
  return tensors;
}

void write_lora(const DenoiserModel& model, const LoraConfig& lora,
                const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error::output(cat(folder.string(), ": ", error.message()));
  nlohmann::json settings;
  describe(settings, "unet", lora, lora.target_modules);
  if (lora.text_encoder) describe(settings, "text_encoder", lora, kTextTargets);
  TensorWriteOptions options;
  options.metadata = {{"format", "pt"}, {"lora_adapter_metadata", settings.dump()}};
  options.if_exists = IfExists::kReplace;
  write_tensors(TensorMapSource(lora_tensors(model)), folder, "pytorch_lora_weights", options);
}

}  // namespace ldm::train
