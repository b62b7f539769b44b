#include "ldm/models/clip_text_model.h"

#include <ATen/ops/aminmax.h>

#include <tuple>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

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
  const std::int64_t positions = text_model->embeddings->position_embedding->weight.size(0);
  if (ids.dim() != 2 || ids.size(1) < 1 || ids.size(1) > positions) {
    throw Error::model(cat("the text encoder takes ids [B, N] with N from 1 to ", positions,
                           ", found shape ", ids.sizes()));
  }
  // Reading ids back from a GPU would stall it; there the embedding kernel itself checks.
  if (!ids.is_cpu() || ids.numel() == 0) return;
  const std::int64_t vocabulary = text_model->embeddings->token_embedding->weight.size(0);
  const auto [least, most] = at::aminmax(ids);
  if (least.item<std::int64_t>() < 0 || most.item<std::int64_t>() >= vocabulary) {
    throw Error::model(
        cat("token id ",
            least.item<std::int64_t>() < 0 ? least.item<std::int64_t>() : most.item<std::int64_t>(),
            " lies outside the text encoder's ", vocabulary, " embeddings"),
        "the tokenizer folder belongs to another text encoder");
  }
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
