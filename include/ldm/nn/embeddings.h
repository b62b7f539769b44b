#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ldm/nn/activation.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {

/// Sines and cosines of a timestep at `embedding_dim / 2` frequencies from 1 down to 1/10000.
///
/// timesteps [B] (training steps, fractions allowed) → [B, embedding_dim] fp32; sines come first,
/// or last with `flip_sin_to_cos`; an odd dimension ends in a zero. Source: Ho et al. 2020,
/// appendix B; diffusers' get_timestep_embedding.
at::Tensor get_timestep_embedding(const at::Tensor& timesteps, std::int64_t embedding_dim,
                                  bool flip_sin_to_cos, std::int64_t freq_shift);

/// What a TimestepEmbedding is made of; names are diffusers'.
struct TimestepEmbeddingOptions {
  std::int64_t in_channels = 0;
  std::int64_t time_embed_dim = 0;
  std::string act_fn = "silu";
  std::optional<std::string> post_act_fn;
  std::int64_t cond_proj_dim = 0;  ///< width of a guidance embedding (LCM); 0: none
};

/// Linear, activation, linear on a sinusoid. Source: diffusers' TimestepEmbedding.
struct TimestepEmbeddingImpl : torch::nn::Module {
  explicit TimestepEmbeddingImpl(const TimestepEmbeddingOptions& options);
  /// sample [B, in_channels], condition [B, cond_proj_dim] or undefined → [B, time_embed_dim].
  /// A condition that the module has no projection for is Error::internal.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& condition = {}) const;

  Linear cond_proj{nullptr};  ///< null where cond_proj_dim is 0
  Linear linear_1{nullptr};
  Linear linear_2{nullptr};

 private:
  Activation act_;
  Activation post_act_;  ///< null: none
};
TORCH_MODULE(TimestepEmbedding);

}  // namespace ldm::nn
