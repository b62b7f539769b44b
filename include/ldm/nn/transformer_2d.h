#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/nn/attention.h"
#include "ldm/nn/feed_forward.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/streamed.h"

namespace ldm::nn {

/// What a Transformer2DModel and its blocks are made of; names are diffusers'.
struct Transformer2DOptions {
  std::int64_t in_channels = 0;
  std::int64_t num_attention_heads = 8;
  std::int64_t attention_head_dim = 64;
  std::int64_t num_layers = 1;
  std::int64_t cross_attention_dim = 768;
  std::int64_t norm_num_groups = 32;
  bool use_linear_projection = false;
  bool only_cross_attention = false;  ///< the first attention sees the text as well

  /// Width of the tokens inside.
  std::int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
};

/// Self-attention, cross-attention and a feed-forward, each after a LayerNorm and added to what it
/// saw. Source: Rombach et al. 2022, appendix E.2.1; diffusers' BasicTransformerBlock.
struct BasicTransformerBlockImpl : torch::nn::Module {
  explicit BasicTransformerBlockImpl(const Transformer2DOptions& options);
  /// hidden_states [B, N, inner_dim], encoder_hidden_states [B, S, cross_attention_dim] →
  /// [B, N, inner_dim].
  at::Tensor forward(const at::Tensor& hidden_states,
                     const at::Tensor& encoder_hidden_states) const;
  /// The same of and to what is added where it is read next.
  PendingSum forward_pending(PendingSum hidden_states,
                             const at::Tensor& encoder_hidden_states) const;

  LayerNorm norm1{nullptr};
  Attention attn1{nullptr};
  LayerNorm norm2{nullptr};
  Attention attn2{nullptr};
  LayerNorm norm3{nullptr};
  FeedForward ff{nullptr};

 private:
  bool only_cross_attention_;
};
TORCH_MODULE(BasicTransformerBlock);

/// Transformer blocks over the pixels of a feature map, around a shortcut.
/// Source: Rombach et al. 2022, appendix E.2.1; diffusers' Transformer2DModel.
struct Transformer2DModelImpl : torch::nn::Module, Streamed {
  explicit Transformer2DModelImpl(const Transformer2DOptions& options);
  /// hidden_states [B, C, H, W], encoder_hidden_states [B, S, cross_attention_dim] → [B, C, H, W].
  at::Tensor forward(const at::Tensor& hidden_states,
                     const at::Tensor& encoder_hidden_states) const;

  GroupNorm norm{nullptr};
  Conv2d conv_in{nullptr};    ///< "proj_in" without use_linear_projection, else null
  Linear linear_in{nullptr};  ///< "proj_in" with use_linear_projection, else null
  std::shared_ptr<ModuleList<BasicTransformerBlock>> transformer_blocks;
  Conv2d conv_out{nullptr};    ///< "proj_out" without use_linear_projection, else null
  Linear linear_out{nullptr};  ///< "proj_out" with use_linear_projection, else null
};
TORCH_MODULE(Transformer2DModel);

}  // namespace ldm::nn
