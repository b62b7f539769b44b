#include "ldm/models/ldm_bert.h"

#include <ATen/TensorOperators.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/models/token_ids.h"

namespace ldm::models {
namespace {

constexpr const char* kWhat = "BERT text encoder";

}  // namespace

void LDMBertConfig::validate() const {
  check_text_size(kWhat, "vocab_size", vocab_size);
  check_text_size(kWhat, "max_position_embeddings", max_position_embeddings);
  check_text_size(kWhat, "encoder_ffn_dim", encoder_ffn_dim);
  check_text_size(kWhat, "encoder_attention_heads", encoder_attention_heads);
  check_text_size(kWhat, "head_dim", head_dim);
  check_text_size(kWhat, "d_model", d_model);
  check_text_size(kWhat, "encoder_attention_heads · head_dim", encoder_attention_heads * head_dim);
  if (encoder_layers < 1 || encoder_layers > 1000) {
    throw Error::model(cat(kWhat, ": encoder_layers is ", encoder_layers, ", expected 1 to 1000"));
  }
  nn::get_activation(activation_function);
}

LDMBertModelImpl::LDMBertModelImpl(const LDMBertConfig& bert_config) : config(bert_config) {
  config.validate();
  nn::TextLayerSizes sizes;
  sizes.hidden_size = config.d_model;
  sizes.intermediate_size = config.encoder_ffn_dim;
  sizes.num_heads = config.encoder_attention_heads;
  sizes.head_dim = config.head_dim;
  sizes.activation = config.activation_function;
  const auto model = register_module("model", std::make_shared<torch::nn::Module>());
  embed_tokens_ =
      model->register_module("embed_tokens", nn::Embedding(config.vocab_size, config.d_model));
  embed_positions_ = model->register_module(
      "embed_positions", nn::Embedding(config.max_position_embeddings, config.d_model));
  layers_ =
      model->register_module("layers", std::make_shared<nn::ModuleList<nn::LDMBertEncoderLayer>>());
  for (std::int64_t i = 0; i < config.encoder_layers; ++i) {
    layers_->append(nn::LDMBertEncoderLayer(sizes));
  }
  layer_norm_ = model->register_module("layer_norm", nn::LayerNorm(config.d_model));
}

at::Tensor LDMBertModelImpl::forward(const at::Tensor& ids) const {
  check_token_ids(ids, embed_positions_->weight.size(0), embed_tokens_->weight.size(0), kWhat);
  at::Tensor hidden = embed_tokens_->forward(ids.to(embed_tokens_->weight.device())) +
                      embed_positions_->weight.narrow(0, 0, ids.size(1));
  for (const nn::LDMBertEncoderLayer& layer : *layers_) hidden = layer->forward(hidden);
  return layer_norm_->forward(hidden);
}

at::Tensor LDMBertModelImpl::encode(const at::Tensor& ids, std::int64_t clip_skip) const {
  refuse_clip_skip(clip_skip, kWhat);
  return forward(ids);
}

}  // namespace ldm::models
