#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "ldm/models/denoiser.h"
#include "ldm/models/unet_2d_condition_config.h"
#include "ldm/nn/activation.h"
#include "ldm/nn/embeddings.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/time_projections.h"
#include "ldm/nn/unet_2d_blocks.h"

namespace ldm::models {

/// Predicts the noise (or v) in latents from a timestep and a text.
/// Source: Rombach et al. 2022, section 3.3; diffusers' UNet2DConditionModel, whose parameter names
/// it has.
struct UNet2DConditionModelImpl : DenoiserImpl {
  /// Parameters are placeholders until weights are loaded. Throws what `config.validate()` throws.
  explicit UNet2DConditionModelImpl(const UNet2DConditionConfig& config);

  /// sample [B, in_channels, h, w], any h and w; timestep [] or [B], in training steps 0…999,
  /// fractions allowed; encoder_hidden_states [B, S, cross_attention_dim]; class_labels [B], needed
  /// by models with a class embedding (noise level of the upscaler); timestep_cond
  /// [B, time_cond_proj_dim] or undefined; residuals of ControlNets → [B, out_channels, h, w] in
  /// the weights' dtype. Throws Error::internal for a wrong number of channels and for missing
  /// class labels.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep,
                     const at::Tensor& encoder_hidden_states, const at::Tensor& class_labels = {},
                     const at::Tensor& timestep_cond = {},
                     const nn::UNetResiduals& residuals = {}) const;

  at::Tensor embed(std::int64_t batch, const at::Tensor& timestep,
                   const at::Tensor& class_labels) const override;
  at::Tensor denoise_embedded(const at::Tensor& sample, const at::Tensor& embedding,
                              const at::Tensor& context,
                              const nn::UNetResiduals& residuals) const override;
  DenoiserShape shape() const override;

  /// The time embedding that the blocks' projections read: → [batch, time_embed_dim].
  at::Tensor embed_time(std::int64_t batch, const at::Tensor& timestep,
                        const at::Tensor& class_labels = {},
                        const at::Tensor& timestep_cond = {}) const;

  /// Sets FreeU of the two lowest up blocks; nothing turns it off. `lowest` is of the deepest.
  void set_freeu(const std::optional<nn::FreeU>& lowest, const std::optional<nn::FreeU>& next);

  /// From now on `forward` leaves its deep feature there, or computes with the one that is there;
  /// null: neither.
  void set_deep_feature(nn::DeepFeature* feature);

  const UNet2DConditionConfig config;
  nn::Conv2d conv_in{nullptr};
  nn::TimestepEmbedding time_embedding{nullptr};
  nn::Embedding class_table{nullptr};               ///< "class_embedding" of num_class_embeds
  nn::TimestepEmbedding class_projection{nullptr};  ///< "class_embedding" of type "timestep"
  std::shared_ptr<nn::ModuleList<nn::DownBlock2D>> down_blocks;
  nn::UNetMidBlock2D mid_block{nullptr};  ///< null where mid_block_type is null
  std::shared_ptr<nn::ModuleList<nn::UpBlock2D>> up_blocks;
  nn::TimeProjections time_projections{nullptr};  ///< without parameters of its own
  nn::GroupNorm conv_norm_out{nullptr};
  nn::Conv2d conv_out{nullptr};

 private:
  void make_embeddings();
  /// A parameter that tells the model's dtype and device: a norm's, which packing leaves alone.
  const at::Tensor& weights() const { return conv_norm_out->weight; }
  at::Tensor embed_class(std::int64_t batch, const at::Tensor& class_labels) const;
  nn::UpBlock2DImpl& last_up_block() const { return *(*up_blocks)[up_blocks->size() - 1].ptr(); }

  nn::Activation conv_act_;
  nn::Activation time_embed_act_;  ///< null: none
};
TORCH_MODULE(UNet2DConditionModel);

}  // namespace ldm::models
