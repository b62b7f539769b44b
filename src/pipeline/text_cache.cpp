#include "ldm/pipeline/text_cache.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace ldm {
namespace {

/// About 10 MB of Stable Diffusion's embeddings.
constexpr std::size_t kMostEntries = 32;

}  // namespace

struct TextCache::Entry {
  std::vector<std::int64_t> ids;
  int clip_skip = 0;
  at::Tensor embedding;
};

TextCache::TextCache() = default;
TextCache::~TextCache() = default;
TextCache::TextCache(TextCache&&) noexcept = default;
TextCache& TextCache::operator=(TextCache&&) noexcept = default;

const TextCache::Entry* TextCache::find(const std::vector<std::int64_t>& ids, int clip_skip) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry->clip_skip == clip_skip && entry->ids == ids;
  });
  return found == entries_.end() ? nullptr : found->get();
}

bool TextCache::holds(const std::vector<std::int64_t>& ids, int clip_skip) const {
  return find(ids, clip_skip) != nullptr;
}

at::Tensor TextCache::get(const std::vector<std::int64_t>& ids, int clip_skip,
                          const std::function<at::Tensor()>& encode) {
  if (const Entry* entry = find(ids, clip_skip)) return entry->embedding;
  at::Tensor embedding = encode();
  if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
  entries_.push_back(std::make_unique<Entry>(Entry{ids, clip_skip, embedding}));
  return embedding;
}

}  // namespace ldm
