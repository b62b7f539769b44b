#include "ldm/io/span_cache.h"

#include <utility>

namespace ldm {

SpanCache::Bytes SpanCache::get(const ByteSource& source, std::uint64_t begin, std::uint64_t size) {
  {
    const std::lock_guard lock(lock_);
    for (const Span& span : spans_) {
      if (span.begin == begin && span.bytes->size() == size) return span.bytes;
    }
  }
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(size));
  source.read_at(begin, *bytes);
  const std::lock_guard lock(lock_);
  std::uint64_t kept = size;
  for (const Span& span : spans_) kept += span.bytes->size();
  while (!spans_.empty() && kept > max_bytes_) {
    kept -= spans_.front().bytes->size();
    spans_.erase(spans_.begin());
  }
  if (size <= max_bytes_) spans_.push_back({begin, bytes});
  return bytes;
}

void SpanCache::forget(std::uint64_t begin, std::uint64_t size) {
  const std::lock_guard lock(lock_);
  std::erase_if(
      spans_, [&](const Span& span) { return span.begin == begin && span.bytes->size() == size; });
}

}  // namespace ldm
