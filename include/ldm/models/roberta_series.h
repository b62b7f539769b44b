#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/models/roberta_series_config.h"
#include "ldm/models/text_encoder.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/text_layers.h"

namespace ldm::models {

/// XLM-R (Conneau et al. 2020) with a linear layer into the width of CLIP's text encoder, the text
/// encoder of AltDiffusion (Chen et al. 2022, arXiv:2211.06679);
/// `diffusers.RobertaSeriesModelWithTransformation` without its pooler.
struct RobertaSeriesModelWithTransformationImpl : TextEncoderImpl {
  /// Throws Error::model where `config` does not validate. Parameters are placeholders.
  explicit RobertaSeriesModelWithTransformationImpl(const RobertaSeriesConfig& config);

  /// ids [B, N] int64, N <= max_positions() → [B, N, project_dim] in the weights' dtype, the
  /// `projection_state`: of the last layer, or of the layer before it through `pre_LN` where
  /// has_pre_transformation. Ids equal to pad_token_id count as padding. Throws Error::model for
  /// ids or lengths that do not fit.
  at::Tensor forward(const at::Tensor& ids) const;

  at::Tensor encode(const at::Tensor& ids, std::int64_t clip_skip) const override;
  std::int64_t hidden_size() const override { return config.project_dim; }
  std::int64_t vocabulary() const override { return config.vocab_size; }
  std::int64_t max_positions() const override {
    return config.max_position_embeddings - config.pad_token_id - 1;
  }

  RobertaSeriesConfig config;

 private:
  void register_roberta();
  at::Tensor embed(const at::Tensor& ids, const at::Tensor& is_token) const;

  nn::Embedding word_embeddings_{nullptr};
  nn::Embedding position_embeddings_{nullptr};
  nn::Embedding token_type_embeddings_{nullptr};
  nn::LayerNorm embeddings_norm_{nullptr};
  std::shared_ptr<nn::ModuleList<nn::RobertaLayer>> layers_;
  nn::Linear transformation_{nullptr};
  nn::Linear transformation_pre_{nullptr};  ///< null without has_pre_transformation
  nn::LayerNorm pre_norm_{nullptr};         ///< null without has_pre_transformation
};
TORCH_MODULE(RobertaSeriesModelWithTransformation);

}  // namespace ldm::models
