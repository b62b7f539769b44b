#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ldm/io/byte_source.h"

namespace ldm {

/// Keeps the parts of a file that scattered reads come back to, such as the storage of a transposed
/// tensor that is read piece by piece. Several threads may use it.
class SpanCache {
 public:
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  /// Keeps at most `max_bytes` (what callers still hold comes on top).
  explicit SpanCache(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  /// The `size` bytes of `source` from `begin`: kept ones, or read now and kept. Errors of read_at.
  Bytes get(const ByteSource& source, std::uint64_t begin, std::uint64_t size);
  /// Drops that part, if it is kept.
  void forget(std::uint64_t begin, std::uint64_t size);

 private:
  struct Span {
    std::uint64_t begin;
    Bytes bytes;
  };

  std::uint64_t max_bytes_;
  std::mutex lock_;
  std::vector<Span> spans_;  // the latest last
};

}  // namespace ldm
