#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ldm {

/// Which family of models this is and the facts that say so.
struct Family {
  std::string name;  ///< "Stable Diffusion 1.x", …
  std::vector<std::string> evidence;
};

/// Names a model's family from its configs. For people only: nothing is computed by it.
Family recognise_family(const nlohmann::json& unet_config, const nlohmann::json& text_config,
                        const nlohmann::json& scheduler_config);

/// What a single file's UNet is conditioned on, told by the names below `cond_stage_model.`.
enum class ConditionKind {
  kNone,
  kClip,      ///< transformers' CLIPTextModel
  kOpenClip,  ///< open_clip's text tower
  kBert,      ///< x_transformers' encoder over BERT tokens
  kClass,     ///< a class embedding
};

/// What names and shapes of a single file say about its family.
struct CheckpointFacts {
  ConditionKind condition = ConditionKind::kNone;
  bool attends = false;    ///< the UNet has cross-attention
  bool quantized = false;  ///< the autoencoder has a codebook
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
};

/// A family of single files: how it is recognised, and what its files do not say about it.
struct CheckpointFamily {
  const char* name;
  ConditionKind condition;
  int quantized;              ///< 1, 0, or -1 where it does not matter
  std::int64_t in_channels;   ///< 0: any
  std::int64_t out_channels;  ///< 0: any
  const char* config;         ///< configs/NAME.json: all that no tensor tells
  const char* v_config;       ///< the same for a v-prediction model; null: no such choice
  const char* pipeline;       ///< class for model_index.json; null: as the config has it
  std::int64_t heads;         ///< attention heads at every level; 0: by width
  std::int64_t head_dim;      ///< width of a head
  bool averaged;              ///< public samplers use the averaged weights where a file has them
};

/// The first row that fits; Error::model where none does.
const CheckpointFamily& find_checkpoint_family(const CheckpointFacts& facts);

}  // namespace ldm
