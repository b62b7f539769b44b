#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// The tensors of a LoRA that change one layer.
struct LoraLayer {
  std::string component;  ///< unet or text_encoder
  std::string name;       ///< of the layer, in the file's words, without the component's prefix
  std::string up;         ///< tensor names; empty where the file has none
  std::string mid;
  std::string down;
  std::string alpha;

  std::vector<std::string> tensors() const;
};

/// A LoRA file opened; its tensors sorted out by layer. Understands peft's names as diffusers
/// writes them (`unet.….lora_A.weight`), diffusers' older ones (`.lora.down.weight`,
/// `.processor.to_q_lora.down.weight`) and those of kohya-ss/sd-scripts
/// (`lora_unet_….lora_down.weight`).
struct LoraFile {
  /// Error::model for a file that is none or does not hold what is vouched for.
  explicit LoraFile(const std::filesystem::path& path);

  /// What a layer's change is multiplied with: alpha / rank (alpha / √rank where the file says so),
  /// alpha being the rank where none is given. Error::model for an alpha that is no finite number.
  double factor(const LoraLayer& layer, std::int64_t rank) const;

  std::filesystem::path path;
  std::string sha256;
  std::shared_ptr<const TensorSource> source;
  std::vector<LoraLayer> layers;
  std::vector<std::string> others;  ///< tensors that are no part of a LoRA layer
  /// peft's settings as diffusers stores them, keys after their component ("unet.lora_alpha").
  nlohmann::json settings = nlohmann::json::object();
};

}  // namespace ldm
