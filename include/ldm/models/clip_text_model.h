#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "ldm/models/clip_text_config.h"
#include "ldm/models/text_encoder.h"
#include "ldm/nn/clip_layers.h"

namespace ldm::models {

/// The text encoder of Stable Diffusion (Radford et al. 2021, arXiv:2103.00020);
/// `transformers.CLIPTextModel` without its pooled output. Its keys carry the published
/// `text_model.` prefix.
struct CLIPTextModelImpl : TextEncoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit CLIPTextModelImpl(const CLIPTextConfig& config);

  /// ids [B, N] int64, N <= max_position_embeddings → [B, N, hidden_size] in the weights' dtype:
  /// the hidden state after all but the last `clip_skip` layers, through the final LayerNorm.
  /// clip_skip counts as diffusers does: 0 and absent mean none, 1 the layer before the last.
  /// Throws Error::usage for a clip_skip beyond the layers, Error::model for ids or lengths that
  /// the embeddings do not hold.
  at::Tensor forward(const at::Tensor& ids, std::int64_t clip_skip = 0) const;

  at::Tensor encode(const at::Tensor& ids, std::int64_t clip_skip) const override {
    return forward(ids, clip_skip);
  }
  std::int64_t hidden_size() const override { return config.hidden_size; }
  std::int64_t vocabulary() const override { return config.vocab_size; }
  void learn(const at::Tensor& vectors) override;
  std::int64_t max_positions() const override { return config.max_position_embeddings; }

  /// [B, N, hidden_size] before the final LayerNorm, after the first `layers` layers (0: the
  /// embeddings); transformers' `hidden_states[layers]`.
  at::Tensor hidden_state(const at::Tensor& ids, std::int64_t layers) const;

  CLIPTextConfig config;
  nn::CLIPTextTransformer text_model{nullptr};

 private:
  void check_ids(const at::Tensor& ids) const;
};
TORCH_MODULE(CLIPTextModel);

}  // namespace ldm::models
