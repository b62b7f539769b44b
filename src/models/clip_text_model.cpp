#include "ldm/models/clip_text_model.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/models/token_ids.h"

namespace ldm::models {

CLIPTextModelImpl::CLIPTextModelImpl(const CLIPTextConfig& text_config) : config(text_config) {
  config.validate();
  const nn::CLIPLayerSizes sizes{config.hidden_size, config.intermediate_size,
                                 config.num_attention_heads, config.hidden_act,
                                 config.layer_norm_eps};
  text_model = register_module(
      "text_model", nn::CLIPTextTransformer(config.vocab_size, config.max_position_embeddings,
                                            config.num_hidden_layers, sizes));
}

void CLIPTextModelImpl::check_ids(const at::Tensor& ids) const {
  const nn::CLIPTextEmbeddings& tables = text_model->embeddings;
  const at::Tensor& learned = tables->learned;
  check_token_ids(
      ids, tables->position_embedding->weight.size(0),
      tables->token_embedding->weight.size(0) + (learned.defined() ? learned.size(0) : 0),
      "text encoder");
}

void CLIPTextModelImpl::learn(const at::Tensor& vectors) {
  if (vectors.size(1) != config.hidden_size) {
    throw Error::model(
        cat("its vectors are ", vectors.size(1), " wide, this text encoder's ", config.hidden_size),
        "768 is Stable Diffusion 1.x, 1024 is 2.x: give one made for the model");
  }
  text_model->embeddings->learned = vectors;
}

at::Tensor CLIPTextModelImpl::hidden_state(const at::Tensor& ids, std::int64_t layers) const {
  check_ids(ids);
  const at::Device device = text_model->embeddings->token_embedding->weight.device();
  const at::Tensor embedded = text_model->embeddings->forward(ids.to(device));
  return text_model->encoder->forward(embedded, layers);
}

at::Tensor CLIPTextModelImpl::forward(const at::Tensor& ids, std::int64_t clip_skip) const {
  if (clip_skip < 0 || clip_skip > config.num_hidden_layers) {
    throw Error::usage(cat("clip skip ", clip_skip, " does not fit a text encoder of ",
                           config.num_hidden_layers, " layers"),
                       cat("use 0 to ", config.num_hidden_layers));
  }
  return text_model->final_layer_norm->forward(
      hidden_state(ids, config.num_hidden_layers - clip_skip));
}

}  // namespace ldm::models
