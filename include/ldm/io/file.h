#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ldm {

/// What a file system says of a file: the same stamp, the same contents.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;  ///< bytes
  /// Nanoseconds since 1970: when its contents were last written, as programs may set it, and when
  /// anything about it last changed.
  std::int64_t modified = 0;
  std::int64_t changed = 0;

  bool operator==(const FileStamp&) const = default;
  /// All of it as one line.
  std::string text() const;
  std::chrono::system_clock::time_point last_change() const;
};

/// A regular file opened for reading. Reads take an offset and do not move anything, so one object
/// serves several threads.
class InputFile {
 public:
  /// Opens `path` (symbolic links followed). A missing file, a folder, a pipe or a file without
  /// read permission is Error::model with a hint.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Bytes at the time of opening.
  std::uint64_t size() const { return stamp_.size; }
  /// As of the time of opening.
  const FileStamp& stamp() const { return stamp_; }

  /// Fills `out` from `offset`; Error::model naming file and bytes when the file holds fewer.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

  /// Error::model (E_FILE_CHANGED) when size, time or inode differ from those at opening.
  void check_unchanged() const;

  /// Open for as long as the object lives.
  int descriptor() const { return fd_; }

  /// Tells the kernel that the whole file will be read soon, front to back.
  void advise_sequential() const;

 private:
  void close() noexcept;

  std::filesystem::path path_;
  int fd_ = -1;
  FileStamp stamp_;
};

/// A whole small text or image file; Error::model when it is larger than `max_bytes` or unreadable.
std::string read_small_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// What to do when the output is already there.
enum class IfExists {
  kRefuse,         ///< Error::output, hint "--overwrite"
  kReplace,        ///< replace it in one step
  kKeepIdentical,  ///< fine when it holds the same bytes, else as kRefuse
};

/// Writes a file that appears whole or not at all: temporary file in the same folder, fsync,
/// rename, fsync of the folder. All failures are Error::output naming the path, the bytes needed
/// and (for a full disk) the bytes free; the temporary file is removed and an existing file stays
/// as it was.
void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes,
                       IfExists if_exists);

/// The same for text.
void write_file_atomic(const std::filesystem::path& path, std::string_view text,
                       IfExists if_exists);

/// The same for several parts written one after the other, without joining them in memory.
void write_parts_atomic(const std::filesystem::path& path,
                        std::span<const std::span<const std::byte>> parts, IfExists if_exists);

/// Error::output unless `folder` exists and a file can be created in it (tried, and removed again).
/// An empty path is the current folder.
void check_output_folder(const std::filesystem::path& folder);

}  // namespace ldm
