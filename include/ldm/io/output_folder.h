#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ldm/io/file.h"
#include "ldm/io/folder_files.h"

namespace ldm {

/// A folder that results go into, held open: whatever happens to its path meanwhile, files are
/// written to, read from and looked up in this very folder, and links in it are never followed.
class OutputFolder {
 public:
  /// Opens `path`, made if only its last component is missing. Error::output.
  explicit OutputFolder(std::filesystem::path path);

  const std::filesystem::path& path() const { return folder_.path(); }
  /// The open folder, for calls of the openat family.
  int descriptor() const { return folder_.descriptor(); }

  /// Whether anything has that name.
  bool exists(const std::string& name) const;
  /// The bytes of the regular file `name`; empty when there is none, when it is no regular file or
  /// cannot be read, and when it is larger than `most`.
  std::optional<std::string> read(const std::string& name, std::uint64_t most) const;
  /// Names of the regular files in it, sorted. Throws Error::output.
  std::vector<std::string> files() const;
  /// As `write_file_atomic`.
  void write(const std::string& name, std::span<const std::byte> bytes, IfExists if_exists) const;
  /// Adds one line to the text file `name` in a single write, made if missing; a line that a dead
  /// process left half written is closed first. Error::output.
  void append_line(const std::string& name, const std::string& line) const;
  /// Removes a file; nothing when there is none.
  void remove(const std::string& name) const;
  /// Removes temporary files of writers that are gone; those of running ones stay. Returns how
  /// many it removed.
  int sweep() const;

 private:
  Folder folder_;
};

}  // namespace ldm
