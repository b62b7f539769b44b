#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "ldm/nn/layers.h"

namespace ldm::nn {

/// Latents on a codebook.
struct Quantized {
  at::Tensor z_q;      ///< [B, C, h, w]: each position's nearest code
  at::Tensor indices;  ///< [B, h, w] int64: which code that is
};

/// Replaces each latent vector by the nearest of a codebook's.
/// Source: van den Oord et al. 2017, eq. 1; diffusers' VectorQuantizer.
struct VectorQuantizerImpl : torch::nn::Module {
  /// `num_embeddings` codes of `embedding_dim` numbers.
  VectorQuantizerImpl(std::int64_t num_embeddings, std::int64_t embedding_dim);

  /// z [B, embedding_dim, h, w] → the nearest codes in z's dtype and memory format; the first one
  /// of several equally near. Distances are fp32 and never held for all positions at once: 16 MiB,
  /// or one position's. A position that is not finite gives NaN, as it would without a codebook.
  Quantized quantize(const at::Tensor& z) const;

  Embedding embedding{nullptr};
};
TORCH_MODULE(VectorQuantizer);

}  // namespace ldm::nn
