#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ldm {

/// Remembers SHA-256 digests of large files from run to run, as long as the file system says that
/// nothing touched them: same device, inode, size, time of change and of modification. One small
/// file each, so that any number of processes may share the folder; what cannot be read or written
/// there is as good as not there.
class DigestCache {
 public:
  /// Remembers nothing.
  DigestCache() = default;
  /// Remembers files of at least so many bytes in `folder`, which is made when it is needed.
  DigestCache(std::filesystem::path folder, std::uint64_t least_bytes);
  /// That of the user: "sha256" in `user_cache_folder`.
  static DigestCache of_user();

  /// A file's digest, remembered or computed. Error::model when the file cannot be read.
  std::string sha256(const std::filesystem::path& path) const;

 private:
  std::filesystem::path folder_;
  std::uint64_t least_bytes_ = 0;
};

}  // namespace ldm
