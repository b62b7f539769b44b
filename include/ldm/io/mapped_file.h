#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ldm {

/// A file's contents as memory that processes share. The file must not shrink meanwhile: map only
/// files that are replaced as a whole.
class MappedFile {
 public:
  /// Maps a regular file for reading. Error::model when it cannot be opened or mapped.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ldm
