#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/models/controlnet_config.h"
#include "ldm/nn/activation.h"
#include "ldm/nn/embeddings.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/unet_2d_blocks.h"

namespace ldm::models {

/// Reads a control picture down to the latents' size and the UNet's first width.
/// Source: Zhang et al. 2023, section 3.2; diffusers' ControlNetConditioningEmbedding.
struct ControlNetConditioningEmbeddingImpl : torch::nn::Module {
  explicit ControlNetConditioningEmbeddingImpl(const ControlNetConfig& config);
  /// x [B, conditioning_channels, 8h, 8w] in [0, 1] → [B, block_out_channels[0], h, w].
  at::Tensor forward(const at::Tensor& x) const;

  nn::Conv2d conv_in{nullptr};
  std::shared_ptr<nn::ModuleList<nn::Conv2d>> blocks;
  nn::Conv2d conv_out{nullptr};
};
TORCH_MODULE(ControlNetConditioningEmbedding);

/// A trained copy of a UNet's first half that sees a picture, and what it adds to the UNet.
/// Source: Zhang et al. 2023; diffusers' ControlNetModel, whose parameter names it has.
struct ControlNetModelImpl : torch::nn::Module {
  /// Parameters are placeholders until weights are loaded. Throws what `config.validate()` throws.
  explicit ControlNetModelImpl(const ControlNetConfig& config);

  /// control [B, 3, 8h, 8w] RGB in [0, 1] → what `forward` takes, the same at every step.
  at::Tensor embed_control(const at::Tensor& control) const;

  /// sample [B, in_channels, h, w], timestep [] or [B], encoder_hidden_states [B or k·B, S, D],
  /// embedded_control [1 or B, C, h, w] → one tensor a skip connection of the UNet and one for its
  /// middle, times `scale`.
  nn::UNetResiduals forward(const at::Tensor& sample, const at::Tensor& timestep,
                            const at::Tensor& encoder_hidden_states,
                            const at::Tensor& embedded_control, double scale) const;

  const ControlNetConfig config;
  nn::Conv2d conv_in{nullptr};
  nn::TimestepEmbedding time_embedding{nullptr};
  ControlNetConditioningEmbedding controlnet_cond_embedding{nullptr};
  std::shared_ptr<nn::ModuleList<nn::DownBlock2D>> down_blocks;
  std::shared_ptr<nn::ModuleList<nn::Conv2d>> controlnet_down_blocks;
  nn::UNetMidBlock2D mid_block{nullptr};
  nn::Conv2d controlnet_mid_block{nullptr};
};
TORCH_MODULE(ControlNetModel);

}  // namespace ldm::models
