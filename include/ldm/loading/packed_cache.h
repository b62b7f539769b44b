#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <string>

#include "ldm/core/execution.h"
#include "ldm/io/mapped_file.h"

namespace ldm {

/// Keeps packed weights on disk, from where later runs map them instead of reading, converting and
/// packing: processes that run at the same time share the memory. One file a component of a model
/// of at most its size and a half; what was kept for other versions or number formats goes when a
/// new one comes. A cache that cannot be read or written costs time, nothing else.
class PackedCache {
 public:
  /// Keeps nothing.
  PackedCache() = default;
  /// Keeps them in `folder`, which is made when it is needed.
  explicit PackedCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// That of the user: "packed" in `user_cache_folder`.
  static PackedCache of_user();

  bool enabled() const { return !folder_.empty(); }

  /// What packed weights depend on: their files (`sha256`), the network, the number format, this
  /// CPU and this program with its libtorch.
  struct Key {
    std::string component;  ///< its folder's name
    std::string sha256;
    std::string network;  ///< class and configuration
    Execution execution;
  };

  /// What a module was given.
  struct Restored {
    std::shared_ptr<const MappedFile> memory;  ///< the module reads it; null: nothing was kept
    bool vouched = false;                      ///< as `keep` was told
  };
  /// Gives a module without weights those that were kept.
  Restored restore(torch::nn::Module& module, const Key& key) const;

  /// Keeps a module's weights as `nn::pack_for_inference` left them; `vouched` says whether each
  /// was compared with a digest that its file gives.
  void keep(torch::nn::Module& module, const Key& key, bool vouched) const;

 private:
  std::filesystem::path entry(const Key& key) const;

  std::filesystem::path folder_;
};

}  // namespace ldm
