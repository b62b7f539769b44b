#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/dtype.h"
#include "ldm/io/original_layout.h"
#include "ldm/io/renamed_tensors.h"
#include "ldm/loading/model_files.h"

namespace ldm {

struct ExportOptions {
  std::optional<DType> dtype;         ///< of floating tensors; none: as they are
  std::uint64_t max_shard_bytes = 0;  ///< 0: one file a component
  bool overwrite = false;
};

struct ExportReport {
  std::vector<std::filesystem::path> files;  ///< in the order written
  std::uint64_t bytes = 0;                   ///< of tensors
  std::vector<std::string> dropped;   ///< what the model had and the result has not, "name: why"
  std::vector<std::string> warnings;  ///< what a reader of the result will take for something else
  std::size_t converted = 0;          ///< tensors of another dtype than before
};

/// Writes a model as a diffusers folder: model_index.json (last), configs, scheduler, tokenizer
/// files and weights under today's names. The folder must be empty or absent unless `overwrite`.
/// Throws as `write_tensors` does.
ExportReport export_folder(const ModelFiles& model, const std::filesystem::path& folder,
                           const ExportOptions& options);

/// Writes a model as one .safetensors file in the original layout. Error::model for classes that
/// have none. `warnings` lists every config field that the file's readers will assume differently.
ExportReport export_single_file(const ModelFiles& model, const std::filesystem::path& file,
                                const ExportOptions& options);

/// The model's tensors under the original layout's names; tensors without a place there are added
/// to `dropped`.
std::shared_ptr<RenamedTensors> original_view(const ModelFiles& model,
                                              std::vector<std::string>& dropped);

/// What model_index.json calls a component ("vae" or "vqvae"; "text_encoder", "bert" or
/// "class_embedder").
std::string component_folder(const ModelFiles& model, const ComponentFiles& component);

/// A component's tensors by the names that its module gives them (io/key_map); what the map leaves
/// out is added to `dropped`.
LayoutKeys module_keys(const ComponentFiles& component, std::vector<std::string>& dropped);

}  // namespace ldm
