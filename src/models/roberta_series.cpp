#include "ldm/models/roberta_series.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cumsum.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/models/token_ids.h"

namespace ldm::models {
namespace {

constexpr const char* kWhat = "XLM-R text encoder";

}  // namespace

void RobertaSeriesConfig::validate() const {
  check_text_size(kWhat, "vocab_size", vocab_size);
  check_text_size(kWhat, "hidden_size", hidden_size);
  check_text_size(kWhat, "num_attention_heads", num_attention_heads);
  check_text_size(kWhat, "intermediate_size", intermediate_size);
  check_text_size(kWhat, "max_position_embeddings", max_position_embeddings);
  check_text_size(kWhat, "type_vocab_size", type_vocab_size);
  check_text_size(kWhat, "project_dim", project_dim);
  const auto refuse = [](const auto&... parts) { throw Error::model(cat(kWhat, ": ", parts...)); };
  if (num_hidden_layers < 1 || num_hidden_layers > 1000) {
    refuse("num_hidden_layers is ", num_hidden_layers, ", expected 1 to 1000");
  }
  if (hidden_size % num_attention_heads != 0) {
    refuse("hidden_size ", hidden_size, " is not a multiple of num_attention_heads ",
           num_attention_heads);
  }
  if (pad_token_id < 0 || pad_token_id >= vocab_size ||
      pad_token_id + 1 >= max_position_embeddings) {
    refuse("pad_token_id is ", pad_token_id, ", outside the vocabulary or the positions");
  }
  if (!(layer_norm_eps > 0.0)) {
    refuse("layer_norm_eps is ", layer_norm_eps, ", expected a positive number");
  }
  if (position_embedding_type != "absolute") {
    refuse("position_embedding_type is \"", position_embedding_type, "\", expected \"absolute\"");
  }
  nn::get_activation(hidden_act);
}

RobertaSeriesModelWithTransformationImpl::RobertaSeriesModelWithTransformationImpl(
    const RobertaSeriesConfig& roberta_config)
    : config(roberta_config) {
  config.validate();
  register_roberta();
  transformation_ =
      register_module("transformation", nn::Linear(config.hidden_size, config.project_dim));
  if (!config.has_pre_transformation) return;
  transformation_pre_ =
      register_module("transformation_pre", nn::Linear(config.hidden_size, config.project_dim));
  pre_norm_ = register_module("pre_LN", nn::LayerNorm(config.hidden_size, config.layer_norm_eps));
}

void RobertaSeriesModelWithTransformationImpl::register_roberta() {
  const std::int64_t width = config.hidden_size;
  const auto roberta = register_module("roberta", std::make_shared<torch::nn::Module>());
  const auto embeddings =
      roberta->register_module("embeddings", std::make_shared<torch::nn::Module>());
  const auto table = [&](const char* name, std::int64_t rows) {
    return embeddings->register_module(name, nn::Embedding(rows, width));
  };
  word_embeddings_ = table("word_embeddings", config.vocab_size);
  position_embeddings_ = table("position_embeddings", config.max_position_embeddings);
  token_type_embeddings_ = table("token_type_embeddings", config.type_vocab_size);
  embeddings_norm_ =
      embeddings->register_module("LayerNorm", nn::LayerNorm(width, config.layer_norm_eps));

  nn::TextLayerSizes sizes;
  sizes.hidden_size = width;
  sizes.intermediate_size = config.intermediate_size;
  sizes.num_heads = config.num_attention_heads;
  sizes.head_dim = width / config.num_attention_heads;
  sizes.activation = config.hidden_act;
  sizes.layer_norm_eps = config.layer_norm_eps;
  const auto encoder = roberta->register_module("encoder", std::make_shared<torch::nn::Module>());
  layers_ = encoder->register_module("layer", std::make_shared<nn::ModuleList<nn::RobertaLayer>>());
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_->append(nn::RobertaLayer(sizes));
  }
}

at::Tensor RobertaSeriesModelWithTransformationImpl::embed(const at::Tensor& ids,
                                                           const at::Tensor& is_token) const {
  // Tokens count from pad_token_id + 1; every padding has the position pad_token_id.
  const at::Tensor counts = at::cumsum(is_token, 1) * is_token;
  return embeddings_norm_->forward(word_embeddings_->forward(ids) +
                                   token_type_embeddings_->weight.select(0, 0) +
                                   position_embeddings_->forward(counts + config.pad_token_id));
}

at::Tensor RobertaSeriesModelWithTransformationImpl::forward(const at::Tensor& ids) const {
  check_token_ids(ids, max_positions(), config.vocab_size, kWhat);
  const at::Tensor on_device = ids.to(word_embeddings_->weight.device());
  const at::Tensor is_token = on_device != config.pad_token_id;
  at::Tensor mask;
  if (config.use_attention_mask) mask = is_token.unsqueeze(1).unsqueeze(1);

  at::Tensor hidden = embed(on_device, is_token);
  const std::size_t used = layers_->size() - (config.has_pre_transformation ? 1 : 0);
  for (std::size_t i = 0; i < used; ++i) hidden = (*layers_)[i]->forward(hidden, mask);
  if (!config.has_pre_transformation) return transformation_->forward(hidden);
  return transformation_pre_->forward(pre_norm_->forward(hidden));
}

at::Tensor RobertaSeriesModelWithTransformationImpl::encode(const at::Tensor& ids,
                                                            std::int64_t clip_skip) const {
  refuse_clip_skip(clip_skip, kWhat);
  return forward(ids);
}

}  // namespace ldm::models
