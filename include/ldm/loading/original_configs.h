#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ldm/io/original_layout.h"
#include "ldm/io/tensor_source.h"
#include "ldm/loading/family.h"

namespace ldm {

// Configs of components whose files have none: `config` holds the family's defaults in diffusers'
// fields, and everything that names and shapes say replaces what it says. `tensors` have diffusers'
// names. Each fact found is added to `evidence`. Error::model when a telling tensor is missing.

/// UNet2DConditionModel or UNet2DModel. Sets also `outline.heads`.
void infer_unet_config(nlohmann::json& config, UNetOutline& outline, const TensorSource& tensors,
                       const CheckpointFamily& family, std::vector<std::string>& evidence);
/// Attention heads of each level by the family's rule.
std::vector<std::int64_t> heads_by_level(const std::vector<std::int64_t>& widths,
                                         const CheckpointFamily& family);
/// AutoencoderKL or VQModel.
void infer_vae_config(nlohmann::json& config, const VaeOutline& outline,
                      const TensorSource& tensors, std::vector<std::string>& evidence);
/// CLIPTextModel.
void infer_clip_config(nlohmann::json& config, const TensorSource& tensors,
                       std::vector<std::string>& evidence);
/// LDMBertModel.
void infer_bert_config(nlohmann::json& config, const TensorSource& tensors,
                       std::vector<std::string>& evidence);
/// ClassEmbedder.
void infer_class_config(nlohmann::json& config, const TensorSource& tensors,
                        std::vector<std::string>& evidence);

}  // namespace ldm
