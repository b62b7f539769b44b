#include "ldm/nn/text_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <memory>

namespace ldm::nn {
namespace {

// q, k, v [B, N, heads · head_dim] → the same shape.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  std::int64_t num_heads, const at::Tensor& mask) {
  const auto heads = [num_heads](const at::Tensor& projected) {
    return projected.unflatten(-1, {num_heads, -1}).transpose(1, 2);
  };
  const c10::optional<at::Tensor> where =
      mask.defined() ? c10::optional<at::Tensor>(mask) : c10::nullopt;
  return at::scaled_dot_product_attention(heads(q), heads(k), heads(v), where)
      .transpose(1, 2)
      .flatten(2);
}

}  // namespace

LDMBertAttentionImpl::LDMBertAttentionImpl(const TextLayerSizes& sizes)
    : num_heads_(sizes.num_heads) {
  const std::int64_t inner = sizes.num_heads * sizes.head_dim;
  k_proj = register_module("k_proj", Linear(sizes.hidden_size, inner, /*bias=*/false));
  v_proj = register_module("v_proj", Linear(sizes.hidden_size, inner, /*bias=*/false));
  q_proj = register_module("q_proj", Linear(sizes.hidden_size, inner, /*bias=*/false));
  out_proj = register_module("out_proj", Linear(inner, sizes.hidden_size));
}

at::Tensor LDMBertAttentionImpl::forward(const at::Tensor& x) const {
  return out_proj->forward(
      attend(q_proj->forward(x), k_proj->forward(x), v_proj->forward(x), num_heads_, {}));
}

LDMBertEncoderLayerImpl::LDMBertEncoderLayerImpl(const TextLayerSizes& sizes)
    : activation_(get_activation(sizes.activation)) {
  self_attn = register_module("self_attn", LDMBertAttention(sizes));
  self_attn_layer_norm =
      register_module("self_attn_layer_norm", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
  fc1 = register_module("fc1", Linear(sizes.hidden_size, sizes.intermediate_size));
  fc2 = register_module("fc2", Linear(sizes.intermediate_size, sizes.hidden_size));
  final_layer_norm =
      register_module("final_layer_norm", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
}

at::Tensor LDMBertEncoderLayerImpl::forward(const at::Tensor& x) const {
  const at::Tensor attended = x + self_attn->forward(self_attn_layer_norm->forward(x));
  return attended + fc2->forward(activation_(fc1->forward(final_layer_norm->forward(attended))));
}

RobertaOutputImpl::RobertaOutputImpl(std::int64_t in_features, const TextLayerSizes& sizes) {
  dense = register_module("dense", Linear(in_features, sizes.hidden_size));
  LayerNorm_ = register_module("LayerNorm", LayerNorm(sizes.hidden_size, sizes.layer_norm_eps));
}

at::Tensor RobertaOutputImpl::forward(const at::Tensor& x, const at::Tensor& residual) const {
  return LayerNorm_->forward(dense->forward(x) + residual);
}

RobertaAttentionImpl::RobertaAttentionImpl(const TextLayerSizes& sizes)
    : num_heads_(sizes.num_heads) {
  const auto projections = register_module("self", std::make_shared<torch::nn::Module>());
  const std::int64_t width = sizes.hidden_size;
  query = projections->register_module("query", Linear(width, width));
  key = projections->register_module("key", Linear(width, width));
  value = projections->register_module("value", Linear(width, width));
  output = register_module("output", RobertaOutput(width, sizes));
}

at::Tensor RobertaAttentionImpl::forward(const at::Tensor& x, const at::Tensor& mask) const {
  return output->forward(
      attend(query->forward(x), key->forward(x), value->forward(x), num_heads_, mask), x);
}

RobertaLayerImpl::RobertaLayerImpl(const TextLayerSizes& sizes)
    : activation_(get_activation(sizes.activation)) {
  attention = register_module("attention", RobertaAttention(sizes));
  const auto block = register_module("intermediate", std::make_shared<torch::nn::Module>());
  intermediate =
      block->register_module("dense", Linear(sizes.hidden_size, sizes.intermediate_size));
  output = register_module("output", RobertaOutput(sizes.intermediate_size, sizes));
}

at::Tensor RobertaLayerImpl::forward(const at::Tensor& x, const at::Tensor& mask) const {
  const at::Tensor attended = attention->forward(x, mask);
  return output->forward(activation_(intermediate->forward(attended)), attended);
}

}  // namespace ldm::nn
