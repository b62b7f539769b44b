#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/byte_source.h"
#include "ldm/io/file.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

/// Whether a file starts as torch 0.2 to 1.5 saved checkpoints.
bool is_legacy_checkpoint(const std::filesystem::path& path);

/// A checkpoint of torch 0.2 to 1.5, as the older published weights of classification networks are:
/// five pickles and the storages one after the other, with no checksum of any kind. The pickles are
/// read as descriptions and never run. Tensors must be contiguous.
///
/// Errors of opening: those of parse_pickle and read_torch_state_dict, E_CKPT_LEGACY (another
/// start), E_CKPT_VERSION, E_CKPT_ENDIAN, E_CKPT_RECORD (storages that the file lacks, or bytes
/// that no storage owns), E_CKPT_VIEW (a tensor that is not contiguous). Source: torch 2.11
/// `torch.serialization._legacy_load`.
class LegacyCheckpoint final : public TensorSource {
 public:
  explicit LegacyCheckpoint(const std::filesystem::path& path);
  /// One held in memory, which must outlive this object; `name` stands in messages.
  LegacyCheckpoint(std::span<const std::byte> file, const std::string& name);

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<SourceFile> files() const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override;

 private:
  void open();

  std::filesystem::path path_;
  std::optional<InputFile> file_;
  ByteSource source_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;  ///< bytes from the file's start
  std::map<std::string, std::string> metadata_;
};

}  // namespace ldm
