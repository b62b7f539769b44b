#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ldm/nn/activation.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"

namespace ldm::nn {

/// The sizes that the layers of one CLIP text encoder share; names as in transformers.
struct CLIPLayerSizes {
  std::int64_t hidden_size = 512;
  std::int64_t intermediate_size = 2048;
  std::int64_t num_attention_heads = 8;
  std::string hidden_act = "quick_gelu";
  double layer_norm_eps = 1e-5;
};

/// Token plus learned position embedding. ids [B, N] int64 → [B, N, D]. Ids beyond the token table
/// are rows of `learned`.
struct CLIPTextEmbeddingsImpl : torch::nn::Module {
  CLIPTextEmbeddingsImpl(std::int64_t vocab_size, std::int64_t max_positions,
                         std::int64_t hidden_size);
  at::Tensor forward(const at::Tensor& ids) const;

  Embedding token_embedding{nullptr};
  Embedding position_embedding{nullptr};
  at::Tensor learned;  ///< [n, D], or undefined; no parameter of the model
};
TORCH_MODULE(CLIPTextEmbeddings);

/// Causal multi-head self-attention with biases everywhere. x [B, N, D] → [B, N, D].
struct CLIPAttentionImpl : torch::nn::Module {
  CLIPAttentionImpl(std::int64_t hidden_size, std::int64_t num_heads);
  at::Tensor forward(const at::Tensor& x) const;

  Linear k_proj{nullptr};
  Linear v_proj{nullptr};
  Linear q_proj{nullptr};
  Linear out_proj{nullptr};

 private:
  std::int64_t num_heads_;
};
TORCH_MODULE(CLIPAttention);

/// fc2(act(fc1(x))), act = x sigmoid(1.702 x) ("quick_gelu") or the erf GELU ("gelu").
/// x [B, N, D] → [B, N, D]. Throws Error::model for an unknown activation.
struct CLIPMLPImpl : torch::nn::Module {
  explicit CLIPMLPImpl(const CLIPLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x) const;

  Linear fc1{nullptr};
  Linear fc2{nullptr};

 private:
  Activation activation_;
};
TORCH_MODULE(CLIPMLP);

/// Pre-norm transformer layer: x + attn(ln1(x)), then x + mlp(ln2(x)). x [B, N, D] → [B, N, D].
struct CLIPEncoderLayerImpl : torch::nn::Module {
  explicit CLIPEncoderLayerImpl(const CLIPLayerSizes& sizes);
  at::Tensor forward(const at::Tensor& x) const;

  CLIPAttention self_attn{nullptr};
  LayerNorm layer_norm1{nullptr};
  CLIPMLP mlp{nullptr};
  LayerNorm layer_norm2{nullptr};
};
TORCH_MODULE(CLIPEncoderLayer);

/// The stack of layers, keys `layers.N.…`.
struct CLIPEncoderImpl : torch::nn::Module {
  CLIPEncoderImpl(const CLIPLayerSizes& sizes, std::int64_t num_layers);
  /// x [B, N, D] → [B, N, D] through the first `count` layers.
  at::Tensor forward(const at::Tensor& x, std::int64_t count) const;

  std::shared_ptr<ModuleList<CLIPEncoderLayer>> layers;
};
TORCH_MODULE(CLIPEncoder);

/// Embeddings, encoder and final LayerNorm under one name: what published files call `text_model`.
struct CLIPTextTransformerImpl : torch::nn::Module {
  CLIPTextTransformerImpl(std::int64_t vocab_size, std::int64_t max_positions,
                          std::int64_t num_layers, const CLIPLayerSizes& sizes);

  CLIPTextEmbeddings embeddings{nullptr};
  CLIPEncoder encoder{nullptr};
  LayerNorm final_layer_norm{nullptr};
};
TORCH_MODULE(CLIPTextTransformer);

}  // namespace ldm::nn
