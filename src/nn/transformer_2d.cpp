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
void match_text(PendingSum& hidden, const at::Tensor& text) {
  if (!text.defined() || hidden.value.size(0) == text.size(0)) return;
  hidden = {repeat_batch(take(hidden), text.size(0))};
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
  return take(forward_pending({hidden_states}, encoder_hidden_states));
}

PendingSum BasicTransformerBlockImpl::forward_pending(
    PendingSum hidden, const at::Tensor& encoder_hidden_states) const {
  const at::Tensor self = only_cross_attention_ ? encoder_hidden_states : at::Tensor();
  // No norm outlives the layer that reads it.
  const auto add = [&hidden](const LayerNorm& norm, bool in_fp8, const auto& layer) {
    const at::Tensor normed = norm->forward(hidden, in_fp8);
    hidden = layer(normed);
  };
  match_text(hidden, self);
  add(norm1, attn1->reads_fp8(),
      [&](const at::Tensor& x) { return attn1->forward_pending(x, self, hidden.value); });
  match_text(hidden, encoder_hidden_states);
  add(norm2, attn2->reads_fp8(), [&](const at::Tensor& x) {
    return attn2->forward_pending(x, encoder_hidden_states, hidden.value);
  });
  add(norm3, ff->geglu->proj->reads_fp8(),
      [&](const at::Tensor& x) { return ff->forward_pending(x, hidden.value); });
  return hidden;
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
  await_weights();
  const at::Tensor normed = norm->forward(hidden_states);
  PendingSum pending =
      linear_in ? linear_in->forward_pending(to_tokens(normed)) : conv_in->forward_pending(normed);
  if (conv_in) pending.value = to_tokens(pending.value);
  for (const auto& block : *transformer_blocks) {
    pending = block->forward_pending(pending, encoder_hidden_states);
  }
  const at::Tensor tokens = take(pending);
  const at::Tensor input = repeat_batch(hidden_states, tokens.size(0));
  if (conv_out) return take(conv_out->forward_pending(from_tokens(tokens, input), input));
  PendingSum output = linear_out->forward_pending(tokens, input);
  output.value = from_tokens(output.value, input);
  return take(output);
}

}  // namespace ldm::nn
