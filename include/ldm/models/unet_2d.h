#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/models/denoiser.h"
#include "ldm/models/unet_2d_config.h"
#include "ldm/nn/embeddings.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/unet_2d_blocks.h"

namespace ldm::models {

/// Predicts the noise in latents from a timestep alone, or from a timestep and a class.
/// Source: Rombach et al. 2022, sections 3.2 and 4.2 (CelebA-HQ, FFHQ, LSUN); diffusers'
/// UNet2DModel, whose parameter names it has.
struct UNet2DModelImpl : DenoiserImpl {
  /// Parameters are placeholders until weights are loaded. Throws what `config.validate()` throws.
  explicit UNet2DModelImpl(const UNet2DConfig& config);

  /// sample [B, in_channels, h, w]; timestep [] or [B], in training steps 0…999, fractions allowed;
  /// class_labels [B], needed by models with a class embedding → [B, out_channels, h, w] in the
  /// weights' dtype. Throws Error::input for sides that residual samplers cannot halve as often as
  /// there are levels, Error::internal for a wrong number of channels and missing class labels.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep,
                     const at::Tensor& class_labels = {}) const {
    return denoise(sample, timestep, {}, class_labels);
  }

  at::Tensor embed(std::int64_t batch, const at::Tensor& timestep,
                   const at::Tensor& class_labels) const override;
  at::Tensor denoise_embedded(const at::Tensor& sample, const at::Tensor& embedding,
                              const at::Tensor& context,
                              const nn::UNetResiduals& residuals) const override;
  DenoiserShape shape() const override;

  const UNet2DConfig config;
  nn::Conv2d conv_in{nullptr};
  nn::TimestepEmbedding time_embedding{nullptr};
  nn::Embedding class_table{nullptr};               ///< "class_embedding" of num_class_embeds
  nn::TimestepEmbedding class_projection{nullptr};  ///< "class_embedding" of type "timestep"
  std::shared_ptr<nn::ModuleList<nn::DownBlock2D>> down_blocks;
  nn::UNetMidBlock2D mid_block{nullptr};  ///< null where mid_block_type is null
  std::shared_ptr<nn::ModuleList<nn::UpBlock2D>> up_blocks;
  nn::GroupNorm conv_norm_out{nullptr};
  nn::Conv2d conv_out{nullptr};

 private:
  void make_embeddings();
  void check_sample(const at::Tensor& sample) const;
  /// A parameter that tells the model's dtype and device: a norm's, which packing leaves alone.
  const at::Tensor& weights() const { return conv_norm_out->weight; }
  at::Tensor sinusoid(const at::Tensor& values, std::int64_t batch) const;
};
TORCH_MODULE(UNet2DModel);

}  // namespace ldm::models
