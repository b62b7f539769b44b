#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/descriptor.h"

namespace ldm {

/// What a look through a folder found; paths are relative to it, sorted, their bytes as on disk.
struct FolderFiles {
  std::vector<std::string> files;
  std::vector<std::string> unreadable;  ///< folders that could not be opened
  std::size_t links = 0;                ///< symbolic links passed by
};

/// A folder whose files are read without ever leaving it: no symbolic link below it is followed,
/// not even one that takes a folder's place between the look and the reading.
class Folder {
 public:
  /// `path` itself may be a link. Error::input when it is no folder that can be read.
  explicit Folder(std::filesystem::path path);
  /// The same of a folder that is open already.
  Folder(std::filesystem::path path, Descriptor opened);

  const std::filesystem::path& path() const { return path_; }
  /// The open folder, for calls of the openat family.
  int descriptor() const { return fd_.get(); }

  /// The regular files below that end on `suffix` (ASCII case ignored); names beginning with a dot
  /// and folders more than 64 deep are left out.
  FolderFiles list(std::string_view suffix) const;
  /// Names of the regular files directly in it, also of those that begin with a dot, sorted.
  std::vector<std::string> names() const;

  /// The bytes of such a file; Error::input when it is larger than `max_bytes`, is not a regular
  /// file any more, or cannot be read.
  std::vector<std::byte> read(const std::string& relative, std::uint64_t max_bytes) const;

 private:
  std::filesystem::path path_;
  Descriptor fd_;
};

}  // namespace ldm
