#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ldm/models/text_encoder.h"
#include "ldm/nn/layers.h"

namespace ldm::models {

/// The fields of a ClassEmbedder's config.json; names and defaults are latent diffusion's.
struct ClassEmbedderConfig {
  std::int64_t embed_dim = 512;
  std::int64_t num_classes = 1000;
  std::optional<std::int64_t> n_classes;  ///< latent diffusion's name of num_classes, wins
  std::optional<std::string> key;         ///< unused: of a training batch

  /// Lists every field once as `v("name", member)`.
  template <class V>
  void visit(V&& v) {
    v("embed_dim", embed_dim);
    v("num_classes", num_classes);
    v("n_classes", n_classes);
    v("key", key);
  }

  /// Rows of the table.
  std::int64_t classes() const { return n_classes.value_or(num_classes); }
  /// The class that guidance leads away from: the row behind ImageNet's thousand, where there is
  /// one (cin256-v2).
  std::optional<std::int64_t> null_class() const {
    constexpr std::int64_t kImageNetClasses = 1000;
    if (classes() == kImageNetClasses + 1) return kImageNetClasses;
    return std::nullopt;
  }
  /// Throws Error::model naming the first field that no such embedder can have.
  void validate() const;
};

/// One learned vector a class, as a text of one token (Rombach et al. 2022, arXiv:2112.10752;
/// latent diffusion's ClassEmbedder). Its one key is `embedding.weight`.
struct ClassEmbedderImpl : TextEncoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit ClassEmbedderImpl(const ClassEmbedderConfig& config);

  /// Classes [B, 1] int64 → [B, 1, embed_dim] in the weights' dtype. Throws Error::usage for a
  /// class that does not exist or a clip_skip other than 0.
  at::Tensor encode(const at::Tensor& ids, std::int64_t clip_skip) const override;
  std::int64_t hidden_size() const override { return config.embed_dim; }
  std::int64_t vocabulary() const override { return config.classes(); }
  std::optional<std::int64_t> null_id() const override { return config.null_class(); }
  std::int64_t max_positions() const override { return 1; }

  ClassEmbedderConfig config;
  nn::Embedding embedding{nullptr};  ///< [classes, embed_dim]
};
TORCH_MODULE(ClassEmbedder);

}  // namespace ldm::models
