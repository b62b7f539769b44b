#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

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
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Replaces bytes that were written already.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Makes the file durable and gives it its name; once, last.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ldm
