#include "ldm/nn/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <memory>
#include <string>

#include "ldm/kernels/attention.h"
#include "ldm/kernels/onednn.h"

namespace ldm::nn {

at::Tensor to_tokens(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({x.size(0), x.size(2) * x.size(3), x.size(1)});
}

at::Tensor from_tokens(const at::Tensor& tokens, const at::Tensor& like) {
  return tokens.reshape({tokens.size(0), like.size(2), like.size(3), tokens.size(2)})
      .permute({0, 3, 1, 2})
      .contiguous(like.suggest_memory_format());
}

at::Tensor attention_weights(const at::Tensor& query, const at::Tensor& key) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.size(3)));
  const at::Tensor scores = at::matmul(query.to(at::kFloat), key.to(at::kFloat).transpose(2, 3));
  return at::softmax(scores * scale, -1);
}

bool same_memory(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.is_alias_of(b) && a.const_data_ptr() == b.const_data_ptr() && a.sizes() == b.sizes() &&
         a.strides() == b.strides();
}

AttentionImpl::AttentionImpl(const AttentionOptions& options)
    : heads_(options.heads),
      cross_(options.cross_attention_dim != 0),
      residual_connection_(options.residual_connection),
      rescale_output_factor_(options.rescale_output_factor) {
  const std::int64_t query_dim = options.query_dim;
  const std::int64_t inner_dim = options.heads * options.dim_head;
  const std::int64_t context_dim =
      options.cross_attention_dim == 0 ? query_dim : options.cross_attention_dim;
  if (options.norm_num_groups != 0) {
    group_norm =
        register_module("group_norm", GroupNorm(options.norm_num_groups, query_dim, options.eps));
  }
  to_q = register_module("to_q", Linear(query_dim, inner_dim, options.bias));
  to_k = register_module("to_k", Linear(context_dim, inner_dim, options.bias));
  to_v = register_module("to_v", Linear(context_dim, inner_dim, options.bias));
  to_out = register_module("to_out", std::make_shared<ModuleList<Linear>>());
  to_out->append(Linear(inner_dim, query_dim));
}

at::Tensor AttentionImpl::split_heads(const at::Tensor& x) const {
  return x.unflatten(2, {heads_, x.size(2) / heads_}).transpose(1, 2);
}

AttentionKeyValue AttentionImpl::project_key_value(const at::Tensor& context) const {
  return {split_heads(to_k->forward(context)), split_heads(to_v->forward(context))};
}

AttentionKeyValue AttentionImpl::key_value_of(const at::Tensor& context) const {
  if (!packed_) return project_key_value(context);
  if (same_memory(last_context_, context)) return last_key_value_;
  const AttentionKeyValue fresh = project_key_value(context);
  last_context_ = context;
  if (context.device().is_cpu() || !last_key_value_.key.defined() ||
      last_key_value_.key.sizes() != fresh.key.sizes()) {
    return last_key_value_ = fresh;
  }
  // A recording reads them where they are.
  last_key_value_.key.copy_(fresh.key);
  last_key_value_.value.copy_(fresh.value);
  return last_key_value_;
}

at::Tensor AttentionImpl::mix(const at::Tensor& query, const AttentionKeyValue& context) const {
  if (observe) observe(query, context.key);
  const at::Tensor mixed =
      packed_ && attention_serves(query)
          ? attention(query, context.key, context.value)
          : at::scaled_dot_product_attention(query, context.key, context.value);
  return mixed.transpose(1, 2).flatten(2);
}

at::Tensor AttentionImpl::attend(const at::Tensor& hidden_states,
                                 const AttentionKeyValue& context) const {
  return (*to_out)[0]->forward(mix(split_heads(to_q->forward(hidden_states)), context));
}

at::Tensor AttentionImpl::mix(const at::Tensor& tokens,
                              const at::Tensor& encoder_hidden_states) const {
  if (!encoder_hidden_states.defined()) {
    return perturbed_parts == 0 ? mix_own(tokens) : mix_perturbed(tokens);
  }
  return mix(split_heads(to_q->forward(tokens)), key_value_of(encoder_hidden_states));
}

at::Tensor AttentionImpl::mix_perturbed(const at::Tensor& tokens) const {
  const std::int64_t rows = tokens.size(0) / perturbed_parts;
  const std::int64_t whole = tokens.size(0) - rows;
  const at::Tensor last = tokens.narrow(0, whole, rows);
  const at::Tensor value = joined_ ? joined_->forward(last).chunk(3, -1)[2] : to_v->forward(last);
  return at::cat({mix_own(tokens.narrow(0, 0, whole)), value});
}

at::Tensor AttentionImpl::mix_own(const at::Tensor& tokens) const {
  if (!joined_) {
    return mix(split_heads(to_q->forward(tokens)), project_key_value(tokens));
  }
  const auto parts = joined_->forward(tokens).chunk(3, -1);
  return mix(split_heads(parts[0]), {split_heads(parts[1]), split_heads(parts[2])});
}

PendingSum AttentionImpl::forward_pending(const at::Tensor& tokens,
                                          const at::Tensor& encoder_hidden_states,
                                          const at::Tensor& addend) const {
  return (*to_out)[0]->forward_pending(mix(tokens, encoder_hidden_states), addend);
}

void AttentionImpl::pack() {
  packed_ = true;
  const bool faster = onednn_serves(to_q->weight) || to_q->weight.is_cuda();
  if (cross_ || !faster || is_unallocated(to_q->weight)) return;
  joined_ = make_joined();
  joined_->weight.set_data(at::cat({to_q->weight, to_k->weight, to_v->weight}));
  if (to_q->bias.defined()) joined_->bias.set_data(at::cat({to_q->bias, to_k->bias, to_v->bias}));
  joined_->pack();
  for (Linear* layer : {&to_q, &to_k, &to_v}) (*layer)->let_go();
}

Linear AttentionImpl::make_joined() const {
  Linear joined(to_q->weight.size(1), 3 * to_q->weight.size(0), to_q->bias.defined());
  joined->prefers_int8 = to_q->prefers_int8;
  joined->prefers_fp8 = to_q->prefers_fp8;
  return joined;
}

void AttentionImpl::visit_packed(const PackedVisit& visit) {
  if (cross_) return;
  Linear joined = joined_ ? joined_ : make_joined();
  bool any = false;
  joined->visit_packed([&](const char* name, at::Tensor& packed) {
    visit((std::string("joined.") + name).c_str(), packed);
    any = any || packed.defined();
  });
  if (any && joined->bias.defined()) {
    at::Tensor bias = joined_ ? joined->bias : at::Tensor();
    visit("joined.bias", bias);
    joined->bias.set_data(bias);
  }
  if (any) joined_ = joined;
}

void AttentionImpl::unpack() {
  packed_ = false;
  joined_ = nullptr;
  last_context_.reset();
  last_key_value_ = {};
}

at::Tensor AttentionImpl::forward(const at::Tensor& hidden_states,
                                  const at::Tensor& encoder_hidden_states) const {
  const bool is_image = hidden_states.dim() == 4;
  at::Tensor tokens = hidden_states;
  if (group_norm) {
    tokens = is_image ? group_norm->forward(tokens)
                      : group_norm->forward(tokens.transpose(1, 2)).transpose(1, 2);
  }
  if (is_image) tokens = to_tokens(tokens);
  at::Tensor output = (*to_out)[0]->forward(mix(tokens, encoder_hidden_states));
  if (is_image) output = from_tokens(output, hidden_states);
  if (residual_connection_) output = output + hidden_states;
  return rescale_output_factor_ == 1.0 ? output : output / rescale_output_factor_;
}

}  // namespace ldm::nn
