#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/dtype.h"

namespace ldm {

/// One stored tensor. `begin` and `end` are bytes from the start of its file's data; only their
/// difference matters to readers.
struct TensorInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t byte_size() const { return end - begin; }
};

/// "F16 [4, 77]", for messages.
std::string describe(const TensorInfo& info);

/// A file that tensors are read from.
struct SourceFile {
  std::filesystem::path path;
  std::uint64_t size = 0;  ///< bytes
};

/// Named tensors that can be read as contiguous little-endian bytes: of one file, of several
/// shards, or a renamed view of other sources. Const members may be used by several threads.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// The tensor of that name, or null. Valid as long as this object lives.
  virtual const TensorInfo* find(std::string_view name) const = 0;
  /// All names, sorted.
  virtual std::vector<std::string> names() const = 0;
  /// Reads `out.size()` bytes from byte `offset` of the tensor's row-major contents. Error::model
  /// when there is no such tensor, its type cannot be loaded or its file is damaged.
  virtual void read_part(std::string_view name, std::uint64_t offset,
                         std::span<std::byte> out) const = 0;
  /// The file that holds `name`, for messages; empty when there is none.
  virtual std::filesystem::path file_of(std::string_view name) const = 0;
  /// The files that tensors come from, in the order of their names.
  virtual std::vector<SourceFile> files() const = 0;
  /// `__metadata__` of safetensors files (the first file wins); empty for other formats.
  virtual const std::map<std::string, std::string>& metadata() const = 0;
  /// Error::model when any file changed since it was opened; call after the last read.
  virtual void check_unchanged() const = 0;

  /// Reads a whole tensor of `find(name)->byte_size()` bytes.
  void read(std::string_view name, std::span<std::byte> out) const { read_part(name, 0, out); }
  /// Number of tensors.
  std::size_t size() const { return names().size(); }
  /// Sum of all tensors, in bytes.
  std::uint64_t total_bytes() const;
};

}  // namespace ldm
