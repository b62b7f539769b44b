#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "ldm/nn/unet_residuals.h"

namespace ldm::models {

/// The facts of a denoiser's configuration that a pipeline needs.
struct DenoiserShape {
  std::int64_t in_channels = 4;
  std::int64_t out_channels = 4;
  std::int64_t sample_size = 0;  ///< side of the latents it was trained on; 0: unknown
  std::int64_t context_dim = 0;  ///< width of the sequence it attends to; 0: it attends to none
  std::int64_t num_classes = 0;  ///< rows of its class (or noise-level) embedding; 0: it has none
  std::vector<std::int64_t> block_out_channels;
};

/// What predicts the noise (or v, or the sample) in latents.
struct DenoiserImpl : torch::nn::Module {
  /// sample [B, in_channels, h, w]; timestep [] or [B] in training steps, fractions allowed;
  /// context [B, S, context_dim], undefined for a model without; class_labels [B] int64, undefined
  /// for a model without → [B, out_channels, h, w] in the weights' dtype. The context may have k·B
  /// rows: then there are k·B predictions, those of all latents with the first B rows, with the
  /// next, and so on, and what comes before the first attention to them is computed once.
  /// `residuals` is what ControlNets add to a UNet that sees a text.
  at::Tensor denoise(const at::Tensor& sample, const at::Tensor& timestep,
                     const at::Tensor& context, const at::Tensor& class_labels,
                     const nn::UNetResiduals& residuals = {}) const {
    return denoise_embedded(sample, embed(sample.size(0), timestep, class_labels), context,
                            residuals);
  }

  /// The part of `denoise` that sees neither latents nor text: timestep [] or [B], class_labels [B]
  /// or undefined → what the blocks take of them, [B, …] in the weights' dtype.
  virtual at::Tensor embed(std::int64_t batch, const at::Tensor& timestep,
                           const at::Tensor& class_labels) const = 0;

  /// The rest of `denoise`, with what `embed` gave for as many rows as the sample has, or for one
  /// that they share.
  virtual at::Tensor denoise_embedded(const at::Tensor& sample, const at::Tensor& embedding,
                                      const at::Tensor& context,
                                      const nn::UNetResiduals& residuals) const = 0;

  virtual DenoiserShape shape() const = 0;

  /// Training: recompute the blocks' activations in backward instead of keeping them.
  bool gradient_checkpointing = false;
};

}  // namespace ldm::models
