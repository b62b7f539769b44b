#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "ldm/core/error.h"
#include "ldm/io/file.h"

namespace ldm {

/// A file that is written piece by piece and appears whole under its name, or not at all: temporary
/// file in the same folder, fsync, rename, fsync of the folder. Failures are Error::output. An
/// object that goes without `commit` leaves nothing behind.
class AtomicFile {
 public:
  /// Makes the temporary file. `needed` is the size it will have, for messages. A file that is
  /// there is Error::output unless `if_exists` is kReplace.
  AtomicFile(std::filesystem::path path, std::uint64_t needed, IfExists if_exists);
  /// The same in a folder that is open already; `path` is its path with the file's name, of which
  /// only the name is used (and all of it in messages).
  AtomicFile(int folder, std::filesystem::path path, std::uint64_t needed, IfExists if_exists);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Replaces bytes that were written already.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Makes the file durable and gives it its name; once, last.
  void commit();
  /// The same; false, with nothing written, when another writer has taken the name meanwhile.
  bool commit_unless_taken();

 private:
  void begin();

  struct State;
  std::unique_ptr<State> state_;
};

/// Writes a file into an open folder as `write_parts_atomic` does; `path` as for AtomicFile.
void write_parts_atomic(int folder, const std::filesystem::path& path,
                        std::span<const std::span<const std::byte>> parts, IfExists if_exists);

/// Removes the temporary files of an open folder whose writers are gone; how many there were.
int sweep_temporaries(int folder);

/// The Error::output of a failed system call (`error` is its errno) while writing `path`, with the
/// sizes that help when a disk is full; `folder` is open or -1.
Error write_error(const std::filesystem::path& path, int error, std::uint64_t needed, int folder);

}  // namespace ldm
