#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/tensor_source.h"
#include "ldm/loading/weight_updates.h"

namespace ldm {

/// The tensors of a LoRA file that change one layer.
struct LoraLayer {
  std::string component;  ///< unet or text_encoder
  std::string name;       ///< of the layer, in the file's words, without the component's prefix
  LoraTensors tensors;

  const std::string& tensor(LoraRole role) const { return tensors[static_cast<std::size_t>(role)]; }
  bool has(LoraRole role) const { return !tensor(role).empty(); }
  /// Names of the tensors that it has.
  std::vector<std::string> names() const;
  /// Whether it makes one change, with all the factors of it.
  bool is_whole() const;
};

/// A LoRA file opened; its tensors sorted out by layer. Understands peft's names as diffusers
/// writes them (`unet.….lora_A.weight`), diffusers' older ones (`.lora.down.weight`,
/// `.processor.to_q_lora.down.weight`), those of kohya-ss/sd-scripts
/// (`lora_unet_….lora_down.weight`) and of LyCORIS (`….hada_w1_a`, `….lokr_w2`, `….diff`).
struct LoraFile {
  /// Error::model for a file that is none or does not hold what is vouched for.
  explicit LoraFile(const std::filesystem::path& path);

  /// What a layer's change is multiplied with: alpha / rank (alpha / √rank where the file says so),
  /// alpha being the rank where none is given; 1 for a change without a rank. Error::model for an
  /// alpha that is no finite number.
  double factor(const LoraLayer& layer) const;

  std::filesystem::path path;
  std::string sha256;
  std::string data_sha256;  ///< without a safetensors header: how kohya-ss' tools name a file
  std::shared_ptr<const TensorSource> source;
  std::vector<LoraLayer> layers;
  std::vector<std::string> others;  ///< tensors that are no part of a LoRA layer
  /// peft's settings as diffusers stores them, keys after their component ("unet.lora_alpha").
  nlohmann::json settings = nlohmann::json::object();

 private:
  std::int64_t rank_of(const LoraLayer& layer) const;
};

}  // namespace ldm
