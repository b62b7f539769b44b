#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string>

#include "ldm/nn/activation.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {

/// The sizes that the layers of one bidirectional text encoder share.
struct TextLayerSizes {
  std::int64_t hidden_size = 768;
  std::int64_t intermediate_size = 3072;
  std::int64_t num_heads = 12;
  std::int64_t head_dim = 64;
  std::string activation = "gelu";
  double layer_norm_eps = 1e-5;
};

/// Multi-head attention of x [B, N, D] to itself, q, k and v without bias and of heads · head_dim
/// columns. → [B, N, D]. Source: diffusers' LDMBertAttention.
struct LDMBertAttentionImpl : torch::nn::Module {
  explicit LDMBertAttentionImpl(const TextLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x) const;

  Linear k_proj{nullptr};
  Linear v_proj{nullptr};
  Linear q_proj{nullptr};
  Linear out_proj{nullptr};

 private:
  std::int64_t num_heads_;
};
TORCH_MODULE(LDMBertAttention);

/// Pre-norm layer: x + attn(ln(x)), then x + fc2(act(fc1(ln(x)))). x [B, N, D] → [B, N, D].
/// Source: diffusers' LDMBertEncoderLayer, without its clamp of infinite fp16 values.
struct LDMBertEncoderLayerImpl : torch::nn::Module {
  explicit LDMBertEncoderLayerImpl(const TextLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x) const;

  LDMBertAttention self_attn{nullptr};
  LayerNorm self_attn_layer_norm{nullptr};
  Linear fc1{nullptr};
  Linear fc2{nullptr};
  LayerNorm final_layer_norm{nullptr};

 private:
  Activation activation_;
};
TORCH_MODULE(LDMBertEncoderLayer);

/// A Linear, then LayerNorm of its result plus the input: how RoBERTa's blocks end.
/// x [B, N, in], residual [B, N, D] → [B, N, D]. Source: transformers' XLMRobertaSelfOutput.
struct RobertaOutputImpl : torch::nn::Module {
  RobertaOutputImpl(std::int64_t in_features, const TextLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual) const;

  Linear dense{nullptr};
  LayerNorm LayerNorm_{nullptr};  ///< key `LayerNorm`
};
TORCH_MODULE(RobertaOutput);

/// Multi-head self-attention with biases, its residual and norm; keys `self.query …`, `output.…`.
/// Source: transformers' XLMRobertaAttention.
struct RobertaAttentionImpl : torch::nn::Module {
  explicit RobertaAttentionImpl(const TextLayerSizes& sizes);
  /// x [B, N, D]; mask bool, broadcastable to [B, heads, N, N], true where a token may be attended
  /// to, or undefined for everywhere. → [B, N, D]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) const;

  Linear query{nullptr};
  Linear key{nullptr};
  Linear value{nullptr};
  RobertaOutput output{nullptr};

 private:
  std::int64_t num_heads_;
};
TORCH_MODULE(RobertaAttention);

/// Post-norm layer: attention, then output(act(dense(x)), x). x [B, N, D] → [B, N, D].
/// Source: transformers' XLMRobertaLayer.
struct RobertaLayerImpl : torch::nn::Module {
  explicit RobertaLayerImpl(const TextLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) const;

  RobertaAttention attention{nullptr};
  Linear intermediate{nullptr};  ///< key `intermediate.dense`
  RobertaOutput output{nullptr};

 private:
  Activation activation_;
};
TORCH_MODULE(RobertaLayer);

}  // namespace ldm::nn
