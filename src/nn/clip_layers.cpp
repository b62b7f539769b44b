#include "ldm/nn/clip_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/where.h>

#include <memory>

namespace ldm::nn {

CLIPTextEmbeddingsImpl::CLIPTextEmbeddingsImpl(std::int64_t vocab_size, std::int64_t max_positions,
                                               std::int64_t hidden_size) {
  token_embedding = register_module("token_embedding", Embedding(vocab_size, hidden_size));
  position_embedding = register_module("position_embedding", Embedding(max_positions, hidden_size));
}

at::Tensor CLIPTextEmbeddingsImpl::forward(const at::Tensor& ids) const {
  const at::Tensor positions = position_embedding->weight.narrow(0, 0, ids.size(-1));
  if (!learned.defined()) return token_embedding->forward(ids) + positions;
  const at::Tensor& table = token_embedding->weight;
  const std::int64_t known = table.size(0);
  const at::Tensor words = token_embedding->forward(ids.clamp_max(known - 1));
  const at::Tensor vectors = at::embedding(learned.to(table.options()), (ids - known).clamp_min(0));
  return at::where((ids < known).unsqueeze(-1), words, vectors) + positions;
}

CLIPAttentionImpl::CLIPAttentionImpl(std::int64_t hidden_size, std::int64_t num_heads)
    : num_heads_(num_heads) {
  k_proj = register_module("k_proj", Linear(hidden_size, hidden_size));
  v_proj = register_module("v_proj", Linear(hidden_size, hidden_size));
  q_proj = register_module("q_proj", Linear(hidden_size, hidden_size));
  out_proj = register_module("out_proj", Linear(hidden_size, hidden_size));
}

at::Tensor CLIPAttentionImpl::forward(const at::Tensor& x) const {
  const auto heads = [this](const at::Tensor& projected) {
    return projected.unflatten(-1, {num_heads_, -1}).transpose(1, 2);
  };
  const at::Tensor attended = at::scaled_dot_product_attention(
      heads(q_proj->forward(x)), heads(k_proj->forward(x)), heads(v_proj->forward(x)), {}, 0.0,
      /*is_causal=*/true);
  return out_proj->forward(attended.transpose(1, 2).flatten(2));
}

CLIPMLPImpl::CLIPMLPImpl(const CLIPLayerSizes& sizes)
    : activation_(get_activation(sizes.hidden_act)) {
  fc1 = register_module("fc1", Linear(sizes.hidden_size, sizes.intermediate_size));
  fc2 = register_module("fc2", Linear(sizes.intermediate_size, sizes.hidden_size));
}

at::Tensor CLIPMLPImpl::forward(const at::Tensor& x) const {
  return fc2->forward(activation_(fc1->forward(x)));
}

CLIPEncoderLayerImpl::CLIPEncoderLayerImpl(const CLIPLayerSizes& sizes) {
  self_attn =
      register_module("self_attn", CLIPAttention(sizes.hidden_size, sizes.num_attention_heads));
  layer_norm1 = register_module("layer_norm1", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
  mlp = register_module("mlp", CLIPMLP(sizes));
  layer_norm2 = register_module("layer_norm2", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
}

at::Tensor CLIPEncoderLayerImpl::forward(const at::Tensor& x) const {
  const at::Tensor attended = x + self_attn->forward(layer_norm1->forward(x));
  return attended + mlp->forward(layer_norm2->forward(attended));
}

CLIPEncoderImpl::CLIPEncoderImpl(const CLIPLayerSizes& sizes, std::int64_t num_layers) {
  layers = register_module("layers", std::make_shared<ModuleList<CLIPEncoderLayer>>());
  for (std::int64_t i = 0; i < num_layers; ++i) layers->append(CLIPEncoderLayer(sizes));
}

at::Tensor CLIPEncoderImpl::forward(const at::Tensor& x, std::int64_t count) const {
  at::Tensor hidden = x;
  for (std::int64_t i = 0; i < count; ++i) {
    hidden = (*layers)[static_cast<std::size_t>(i)]->forward(hidden);
  }
  return hidden;
}

CLIPTextTransformerImpl::CLIPTextTransformerImpl(std::int64_t vocab_size,
                                                 std::int64_t max_positions,
                                                 std::int64_t num_layers,
                                                 const CLIPLayerSizes& sizes) {
  embeddings = register_module("embeddings",
                               CLIPTextEmbeddings(vocab_size, max_positions, sizes.hidden_size));
  encoder = register_module("encoder", CLIPEncoder(sizes, num_layers));
  final_layer_norm =
      register_module("final_layer_norm", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
}

}  // namespace ldm::nn
