#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ldm/train/denoiser_model.h"
#include "ldm/train/run_config.h"
#include "ldm/train/tensor_map.h"

namespace ldm::train {

/// The fields of a run's "lora" section; its presence makes the run learn low-rank changes of a
/// frozen model's weights (Hu et al. 2021).
struct LoraConfig {
  std::int64_t rank = 4;
  std::optional<double> alpha;  ///< the changes are multiplied by alpha / rank; absent: the rank
  /// Layers of the UNet, by the ends of their names; "ff.net.0.proj", "conv1", … work too.
  std::vector<std::string> target_modules = {"to_q", "to_k", "to_v", "to_out.0"};
  bool text_encoder = false;  ///< also q_proj, k_proj, v_proj and out_proj of the text encoder

  template <class V>
  void visit(V&& v) {
    v("rank", rank);
    v("alpha", alpha);
    v("target_modules", target_modules);
    v("text_encoder", text_encoder);
  }
  void validate(const std::string& where) const;
  double scale_numerator() const { return alpha.value_or(static_cast<double>(rank)); }
};

/// The run's "lora" section where it has one. Error::input.
std::optional<LoraConfig> read_lora(const RunConfig& config);

/// Freezes a model's weights and gives it low-rank changes that learn: A uniform within 1/√fan_in
/// (peft's kaiming_uniform(√5)), drawn by the run's seed and the parameter's name, B zero, so that
/// training starts from the model as it is. Error::input where a target is not in the UNet, and
/// with "train_text_encoder".
void add_lora(DenoiserModel& model, const LoraConfig& lora, const RunConfig& config);

/// The learned parameters by the names of diffusers' LoRA files: "unet.….lora_A.weight",
/// "text_encoder.….lora_B.weight"; share storage.
TensorMap lora_tensors(const DenoiserModel& model);

/// A module's tensors with its changes added to the weights they belong to, as --lora would load
/// them: W + alpha / rank · B A.
TensorMap merged_tensors(const torch::nn::Module& module, const LoraConfig& lora);

/// Writes FOLDER/pytorch_lora_weights.safetensors, which diffusers' `load_lora_weights` and
/// ldm-gen's --lora read; rank and alpha stand in its metadata as diffusers puts them there
/// (`lora_adapter_metadata`). Error::output.
void write_lora(const DenoiserModel& model, const LoraConfig& lora,
                const std::filesystem::path& folder);

}  // namespace ldm::train
