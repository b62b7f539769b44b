#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ldm/io/file.h"

namespace ldm {

/// Bytes that a parser reads by offset: of an open file, or of memory. A view: what it reads from
/// must outlive it.
class ByteSource {
 public:
  explicit ByteSource(const InputFile& file) : file_(&file) {}
  explicit ByteSource(std::span<const std::byte> memory) : memory_(memory) {}

  std::uint64_t size() const { return file_ != nullptr ? file_->size() : memory_.size(); }
  /// Fills `out` from `offset`; Error::model when there are fewer bytes.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  const InputFile* file_ = nullptr;
  std::span<const std::byte> memory_;
};

}  // namespace ldm
