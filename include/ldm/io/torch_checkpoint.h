#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ldm/io/file.h"
#include "ldm/io/pickle.h"
#include "ldm/io/span_cache.h"
#include "ldm/io/tensor_source.h"
#include "ldm/io/torch_state_dict.h"
#include "ldm/io/zip_archive.h"

namespace ldm {

struct TorchCheckpointLimits {
  ZipLimits zip;
  PickleLimits pickle;
  std::uint64_t max_pickle_bytes = std::uint64_t{64} << 20U;
};

/// A torch checkpoint (.ckpt, .pt, .pth, .bin as torch >= 1.6 saves it) opened for reading. Its
/// pickle is read as a description and never run. The CRC-32 of each record is compared at the
/// first read of it, before any of its bytes are handed out. Tensors may share storages and need
/// not be contiguous: reads give row-major contents.
///
/// Errors of opening: those of read_zip_directory and read_torch_state_dict, E_CKPT_LEGACY (saved
/// before torch 1.6), E_CKPT_TAR, E_CKPT_SCRIPT (TorchScript), E_CKPT_VERSION, E_CKPT_ENDIAN,
/// E_CKPT_RECORD (a tensor whose record is missing or has other bytes than the storage needs).
class TorchCheckpoint final : public TensorSource {
 public:
  explicit TorchCheckpoint(const std::filesystem::path& path,
                           const TorchCheckpointLimits& limits = {});
  /// One held in memory, which must outlive this object; `name` stands in messages.
  TorchCheckpoint(std::span<const std::byte> file, const std::string& name,
                  const TorchCheckpointLimits& limits = {});

  /// An integer of the checkpoint beside its tensors ("global_step", "epoch"), if it has it.
  std::optional<std::int64_t> integer(std::string_view name) const;
  /// Compares the CRC-32 of all records, also of those that no tensor uses.
  void check_all() const;

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<SourceFile> files() const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override;

 private:
  // Where a tensor's elements lie in a record, adjacent dimensions joined where they run on.
  struct View {
    const ZipRecord* record = nullptr;
    std::uint64_t item_bytes = 0;
    std::uint64_t offset = 0;  // elements
    std::vector<std::uint64_t> sizes;
    std::vector<std::uint64_t> strides;  // elements
  };

  void open(const TorchCheckpointLimits& limits);
  void add(const TorchTensor& tensor);
  void gather(const View& view, std::uint64_t offset, std::span<std::byte> out) const;

  std::filesystem::path path_;
  std::optional<InputFile> file_;
  ByteSource source_;
  std::optional<ZipArchive> archive_;
  std::vector<TensorInfo> tensors_;
  std::vector<View> views_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
  std::map<std::string, std::int64_t, std::less<>> integers_;
  std::map<std::string, std::string> metadata_;
  mutable SpanCache spans_{std::uint64_t{256} << 20U};
};

}  // namespace ldm
