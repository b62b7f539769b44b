#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/models/ldm_bert_config.h"
#include "ldm/models/text_encoder.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/text_layers.h"

namespace ldm::models {

/// The transformer of latent diffusion's text-to-image model, trained from scratch on BERT's tokens
/// (Rombach et al. 2022, arXiv:2112.10752); `diffusers.LDMBertModel` without its `to_logits`.
struct LDMBertModelImpl : TextEncoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit LDMBertModelImpl(const LDMBertConfig& config);

  /// ids [B, N] int64, N <= max_position_embeddings → [B, N, d_model] in the weights' dtype.
  /// Padding is attended to like any token. Throws Error::model for ids or lengths that do not fit.
  at::Tensor forward(const at::Tensor& ids) const;

  at::Tensor encode(const at::Tensor& ids, std::int64_t clip_skip) const override;
  std::int64_t hidden_size() const override { return config.d_model; }
  std::int64_t vocabulary() const override { return config.vocab_size; }
  std::int64_t max_positions() const override { return config.max_position_embeddings; }

  LDMBertConfig config;

 private:
  nn::Embedding embed_tokens_{nullptr};
  nn::Embedding embed_positions_{nullptr};
  std::shared_ptr<nn::ModuleList<nn::LDMBertEncoderLayer>> layers_;
  nn::LayerNorm layer_norm_{nullptr};
};
TORCH_MODULE(LDMBertModel);

}  // namespace ldm::models
