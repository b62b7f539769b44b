#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace at {
class Tensor;
}

namespace ldm {

/// The embeddings of the prompts that were encoded last, so that jobs with the same prompt (or the
/// same negative prompt) encode it once.
class TextCache {
 public:
  TextCache();
  ~TextCache();
  TextCache(TextCache&&) noexcept;
  TextCache& operator=(TextCache&&) noexcept;

  /// The embedding of `ids` without its last `clip_skip` layers, from `encode` where it is not
  /// here.
  at::Tensor get(const std::vector<std::int64_t>& ids, int clip_skip,
                 const std::function<at::Tensor()>& encode);
  /// Whether `get` would find it.
  bool holds(const std::vector<std::int64_t>& ids, int clip_skip) const;
  /// Embeddings that are here.
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry;
  const Entry* find(const std::vector<std::int64_t>& ids, int clip_skip) const;

  std::vector<std::unique_ptr<Entry>> entries_;  ///< oldest first
};

}  // namespace ldm
