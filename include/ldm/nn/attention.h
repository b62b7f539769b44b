#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <functional>

#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"

namespace ldm::nn {

/// What an Attention is made of; names and defaults are diffusers'.
struct AttentionOptions {
  std::int64_t query_dim = 0;
  std::int64_t cross_attention_dim = 0;  ///< 0: query_dim (self-attention)
  std::int64_t heads = 8;
  std::int64_t dim_head = 64;
  bool bias = false;                 ///< of to_q, to_k and to_v; to_out always has one
  std::int64_t norm_num_groups = 0;  ///< a GroupNorm before everything; 0: none
  double eps = 1e-5;                 ///< of that GroupNorm
  bool residual_connection = false;
  double rescale_output_factor = 1.0;  ///< the result is divided by it
};

/// Projected keys and values, [B, heads, S, dim_head] each: all that a cross-attention needs of the
/// text, so computable once a prompt.
struct AttentionKeyValue {
  at::Tensor key;
  at::Tensor value;
};

/// [B, C, H, W] → [B, H·W, C]; a view where the input is channels_last.
at::Tensor to_tokens(const at::Tensor& x);

/// [B, H·W, C] → [B, C, H, W] in the memory format of `like` [B, ·, H, W]; a view where that is
/// channels_last.
at::Tensor from_tokens(const at::Tensor& tokens, const at::Tensor& like);

/// Whether two tensors are the same values of the same memory, or both undefined. Whoever compares
/// with an earlier tensor must have kept it, or its memory may be another's by now.
bool same_memory(const at::Tensor& a, const at::Tensor& b);

/// softmax(Q Kᵀ / √dim_head) itself, in fp32, for those who `observe`: query [B, heads, N,
/// dim_head] and key [B, heads, S, dim_head] → [B, heads, N, S].
at::Tensor attention_weights(const at::Tensor& query, const at::Tensor& key);

/// softmax(Q Kᵀ / √dim_head) V over heads, its scores never held in memory as a whole.
/// Source: Vaswani et al. 2017, eq. 1; diffusers' Attention with AttnProcessor2_0.
struct AttentionImpl : torch::nn::Module {
  explicit AttentionImpl(const AttentionOptions& options);
  /// hidden_states [B, N, query_dim] or [B, query_dim, H, W] → the same shape, attending to
  /// encoder_hidden_states [B, S, cross_attention_dim] or, where undefined, to itself.
  at::Tensor forward(const at::Tensor& hidden_states,
                     const at::Tensor& encoder_hidden_states = {}) const;
  /// forward(tokens, encoder_hidden_states) + addend, added where it is read next; tokens
  /// [B, N, query_dim], without the norm and the residual.
  PendingSum forward_pending(const at::Tensor& tokens, const at::Tensor& encoder_hidden_states,
                             const at::Tensor& addend) const;
  /// context [B, S, cross_attention_dim] → its keys and values.
  AttentionKeyValue project_key_value(const at::Tensor& context) const;
  /// hidden_states [B, N, query_dim] → [B, N, query_dim], without the norm and the residual.
  at::Tensor attend(const at::Tensor& hidden_states, const AttentionKeyValue& context) const;
  void pack();                                  ///< see nn/pack.h
  void unpack();                                ///< see nn/pack.h
  void visit_packed(const PackedVisit& visit);  ///< see nn/pack.h
  bool sees_text() const { return cross_; }
  /// Whether the tokens are to come in e4m3.
  bool reads_fp8() const { return joined_ ? joined_->reads_fp8() : to_q->reads_fp8(); }
  /// What computes queries, keys and values of a packed self-attention; null where nothing does.
  const Linear& joined() const { return joined_; }

  /// Perturbed-attention guidance (Ahn et al. 2024, eq. 12): of so many equal parts of the batch
  /// the last one attends to nothing but itself, pixel by pixel; 0: none. Self-attention only.
  std::int64_t perturbed_parts = 0;

  /// Where set, told of queries and keys, [B, heads, N or S, dim_head], at each call.
  std::function<void(const at::Tensor& query, const at::Tensor& key)> observe;

  GroupNorm group_norm{nullptr};  ///< null where norm_num_groups is 0
  Linear to_q{nullptr};
  Linear to_k{nullptr};
  Linear to_v{nullptr};
  std::shared_ptr<ModuleList<Linear>> to_out;  ///< slot 0; diffusers' slot 1 is a Dropout

 private:
  at::Tensor split_heads(const at::Tensor& x) const;
  /// A layer for all three projections of one input, without weights.
  Linear make_joined() const;
  /// `project_key_value`, once for a text that is seen again and again.
  AttentionKeyValue key_value_of(const at::Tensor& context) const;
  /// Values as queries mix them, [B, N, heads · dim_head]: what to_out projects.
  at::Tensor mix(const at::Tensor& query, const AttentionKeyValue& context) const;
  at::Tensor mix(const at::Tensor& tokens, const at::Tensor& encoder_hidden_states) const;
  at::Tensor mix_own(const at::Tensor& tokens) const;
  at::Tensor mix_perturbed(const at::Tensor& tokens) const;

  std::int64_t heads_;
  bool cross_;
  Linear joined_{nullptr};  ///< packed self-attention: queries, keys and values in one projection
  bool residual_connection_;
  double rescale_output_factor_;
  bool packed_ = false;
  mutable at::Tensor last_context_;
  mutable AttentionKeyValue last_key_value_;
};
TORCH_MODULE(Attention);

}  // namespace ldm::nn
