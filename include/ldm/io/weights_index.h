#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ldm/io/safetensors.h"

namespace ldm {

/// tensor → shard of an index's JSON text; every shard is a plain file name. E_IDX_JSON,
/// E_IDX_PATH.
std::map<std::string, std::string> parse_weight_map(std::string_view text);

/// One logical set of tensors over a single safetensors file or the shards of an index.
class WeightFiles final : public TensorSource {
 public:
  /// The weights of one component folder. `stem` is "diffusion_pytorch_model" or "model". Tried in
  /// order: STEM.safetensors, STEM.safetensors.index.json, with ".VARIANT" as diffusers spells it.
  /// An empty `variant` means plain and then fp16; which one it was is logged. Error::model when
  /// there is none (naming what is there instead, such as *.bin) or an index breaks its rules
  /// (E_IDX_JSON, E_IDX_PATH, E_IDX_SHARD, E_IDX_MISSING, E_IDX_DUP).
  static WeightFiles open(const std::filesystem::path& folder, const std::string& stem,
                          const std::string& variant = {});

  /// One .safetensors file, or one *.index.json with its shards beside it.
  static WeightFiles open_file(const std::filesystem::path& path);

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<SourceFile> files() const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override;

 private:
  struct Place {
    std::size_t file;
    const TensorInfo* info;
  };
  void add(const std::filesystem::path& path);
  static WeightFiles open_index(const std::filesystem::path& path);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string_view, Place> where_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace ldm
