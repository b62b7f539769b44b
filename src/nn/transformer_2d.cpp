#include "ldm/nn/transformer_2d.h"

#include <ATen/TensorOperators.h>

namespace ldm::nn {
namespace {

constexpr double kLayerNormEps = 1e-5;
constexpr double kGroupNormEps = 1e-6;

AttentionOptions attention_options(const Transformer2DOptions& options, bool cross) {
  AttentionOptions attention;
  attention.query_dim = options.inner_dim();
  attention.cross_attention_dim = cross ? options.cross_attention_dim : 0;
  attention.heads = options.num_attention_heads;
  attention.dim_head = options.attention_head_dim;
  return attention;
}

/// Latents that several texts share, as many times as there are texts.
at::Tensor match_text(const at::Tensor& hidden, const at::Tensor& text) {
  return text.defined() ? repeat_batch(hidden, text.size(0)) : hidden;
}

}  // namespace

BasicTransformerBlockImpl::BasicTransformerBlockImpl(const Transformer2DOptions& options)
    : only_cross_attention_(options.only_cross_attention) {
  const std::int64_t dim = options.inner_dim();
  norm1 = register_module("norm1", LayerNorm(dim, kLayerNormEps));
  attn1 = register_module("attn1", Attention(attention_options(options, only_cross_attention_)));
  norm2 = register_module("norm2", LayerNorm(dim, kLayerNormEps));
  attn2 = register_module("attn2", Attention(attention_options(options, true)));
  norm3 = register_module("norm3", LayerNorm(dim, kLayerNormEps));
  ff = register_module("ff", FeedForward(dim));
}

at::Tensor BasicTransformerBlockImpl::forward(const at::Tensor& hidden_states,
                                              const at::Tensor& encoder_hidden_states) const {
  const at::Tensor self = only_cross_attention_ ? encoder_hidden_states : at::Tensor();
  at::Tensor hidden = match_text(hidden_states, self);
  hidden = attn1->forward(norm1->forward(hidden), self) + hidden;
  hidden = match_text(hidden, encoder_hidden_states);
  hidden = attn2->forward(norm2->forward(hidden), encoder_hidden_states) + hidden;
  return ff->forward(norm3->forward(hidden)) + hidden;
}

Transformer2DModelImpl::Transformer2DModelImpl(const Transformer2DOptions& options) {
  const std::int64_t channels = options.in_channels;
  const std::int64_t inner_dim = options.inner_dim();
  norm = register_module("norm", GroupNorm(options.norm_num_groups, channels, kGroupNormEps));
  if (options.use_linear_projection) {
    linear_in = register_module("proj_in", Linear(channels, inner_dim));
  } else {
    conv_in = register_module("proj_in", Conv2d(channels, inner_dim, 1));
  }
  transformer_blocks =
      register_module("transformer_blocks", std::make_shared<ModuleList<BasicTransformerBlock>>());
  for (std::int64_t i = 0; i < options.num_layers; ++i) {
    transformer_blocks->append(BasicTransformerBlock(options));
  }
  if (options.use_linear_projection) {
    linear_out = register_module("proj_out", Linear(inner_dim, channels));
  } else {
    conv_out = register_module("proj_out", Conv2d(inner_dim, channels, 1));
  }
}

at::Tensor Transformer2DModelImpl::forward(const at::Tensor& hidden_states,
                                           const at::Tensor& encoder_hidden_states) const {
  const at::Tensor normed = norm->forward(hidden_states);
  at::Tensor tokens =
      linear_in ? linear_in->forward(to_tokens(normed)) : to_tokens(conv_in->forward(normed));
  for (const auto& block : *transformer_blocks) {
    tokens = block->forward(tokens, encoder_hidden_states);
  }
  const at::Tensor input = repeat_batch(hidden_states, tokens.size(0));
  const at::Tensor output = linear_out ? from_tokens(linear_out->forward(tokens), input)
                                       : conv_out->forward(from_tokens(tokens, input));
  return output + input;
}

}  // namespace ldm::nn
