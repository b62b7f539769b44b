#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/original_layout.h"
#include "ldm/loading/family.h"
#include "ldm/loading/model_files.h"

namespace ldm {

/// What the user says about a single file.
struct SingleFileOptions {
  std::string prediction_type;   ///< diffusers' word; empty: not said
  std::optional<bool> averaged;  ///< whether to use the averaged (EMA) weights; none: as the
                                 ///< family's public samplers do
  bool needs_tokenizer = true;   ///< whether its absence is an error
};

/// Opens a checkpoint in the original layout (one file: UNet, autoencoder and what the UNet is
/// conditioned on) as if it were a diffusers folder: names, configs and scheduler are those of the
/// family that names and shapes show (`Family::evidence` says by what). Reads no weights but single
/// small ones. Error::model for a file that is not such a checkpoint.
ModelFiles open_single_file(const std::filesystem::path& path,
                            const SingleFileOptions& options = {});

/// The same for tensors opened already; `path` is for messages and for what lies beside it.
ModelFiles open_checkpoint(const std::filesystem::path& path,
                           std::shared_ptr<const TensorSource> source,
                           const SingleFileOptions& options);

/// An autoencoder by itself: a diffusers folder, a diffusers model's folder (its `vae`), or a file
/// in diffusers' or the original layout, with or without the prefix `first_stage_model.`.
ComponentFiles open_vae_file(const std::filesystem::path& path);

/// The defaults of a family, configs/NAME.json.
nlohmann::json family_defaults(const std::string& name);

/// A text encoder (or class embedding) found in a single file.
struct OriginalCondition {
  ConditionKind kind = ConditionKind::kNone;
  LayoutKeys keys;
  LayoutBlocks blocks;
  std::string class_name;
  std::string folder;  ///< its name in diffusers' folders
};

/// Finds it by the names below `cond_stage_model.`. Tensors that are left out on purpose (the layer
/// that OpenCLIP models never run) are added to `dropped`.
OriginalCondition find_condition(const TensorSource& source, std::vector<std::string>& dropped);
/// Its config, from the family's defaults and its tensors.
nlohmann::json condition_config(const OriginalCondition& condition, nlohmann::json defaults,
                                const TensorSource& tensors, std::vector<std::string>& evidence);
/// The tokenizer's folder for it; empty where none is needed. Error::model when there is none.
std::filesystem::path find_tokenizer(const std::filesystem::path& file, ConditionKind kind,
                                     const nlohmann::json& config);

}  // namespace ldm
