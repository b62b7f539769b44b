#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ldm/io/file.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

struct SafetensorsLimits {
  std::uint64_t max_header_bytes = 100'000'000;
  std::size_t max_rank = 8;
  int max_depth = 8;
  bool allow_trailing = false;  ///< accept bytes after the last tensor
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< by (begin, end)
  std::map<std::string, std::string> metadata;
  std::uint64_t data_offset = 0;   ///< where the data start in the file: 8 + header bytes
  std::vector<std::string> notes;  ///< accepted oddities, such as an unknown field
};

/// Parses and checks a header. `prefix` is the start of the file: the 8-byte length and, when the
/// file holds it, at least the header; more may follow. Everything that is wrong is
/// Error::model_rule "FILE: E_ST_…" (E_ST_SHORT HDR_BIG HDR_LEN JSON UTF8 ROOT DEPTH DUP META ENTRY
/// DTYPE SHAPE OFFSETS OVERFLOW ALIGN SIZE LAYOUT TRUNC TRAIL, and for other contents LFS HTML ZIP
/// PICKLE). Nothing is allocated from a declared number that the file size has not bounded. Source:
/// huggingface/safetensors 0.8.0, stricter on duplicates and array entries.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix,
                                           std::uint64_t file_size, const std::string& file,
                                           const SafetensorsLimits& limits = {});

/// A safetensors file opened for reading with plain reads into the caller's memory (no mapping: a
/// file that changes meanwhile must not be a SIGBUS). Const members may be used by several threads.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path, const SafetensorsLimits& limits = {});

  const std::filesystem::path& path() const { return file_.path(); }
  std::uint64_t size() const { return file_.size(); }
  const SafetensorsHeader& header() const { return header_; }
  /// The tensor of that name, or null.
  const TensorInfo* find(std::string_view name) const;

  /// Reads a whole tensor; `out` must have `info.byte_size()` bytes. A dtype that cannot be loaded
  /// is Error::model E_ST_DTYPE.
  void read(const TensorInfo& info, std::span<std::byte> out) const;
  /// Reads `out.size()` bytes from `offset` within the tensor.
  void read_part(const TensorInfo& info, std::uint64_t offset, std::span<std::byte> out) const;
  /// Error::model when the file changed since it was opened; call after the last read.
  void check_unchanged() const { file_.check_unchanged(); }

 private:
  InputFile file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

/// One tensor to write; `bytes` is row-major little-endian and must match dtype and shape.
struct TensorData {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes a file atomically and deterministically: header padded to 8 bytes, metadata sorted,
/// tensors by falling element size and then name (so that each is aligned to its type).
/// Error::internal for bad tensors (duplicate or reserved name, wrong byte count), Error::output
/// else.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const std::map<std::string, std::string>& metadata, IfExists if_exists);

}  // namespace ldm
