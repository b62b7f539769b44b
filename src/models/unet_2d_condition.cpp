#include "ldm/models/unet_2d_condition.h"

#include <ATen/TensorOperators.h>

#include <string>

#include "ldm/core/error.h"
#include "ldm/models/unet_2d_condition_blocks.h"

namespace ldm::models {
namespace {

UNet2DConditionConfig validated(const UNet2DConditionConfig& config) {
  config.validate();
  return config;
}

}  // namespace

UNet2DConditionModelImpl::UNet2DConditionModelImpl(const UNet2DConditionConfig& unet_config)
    : config(validated(unet_config)),
      conv_act_(nn::get_activation(config.act_fn)),
      time_embed_act_(config.time_embedding_act_fn
                          ? nn::get_activation(*config.time_embedding_act_fn)
                          : nullptr) {
  const std::int64_t first = config.block_out_channels.front();
  conv_in = register_module("conv_in", nn::Conv2d(config.in_channels, first, config.conv_in_kernel,
                                                  1, config.conv_in_kernel / 2));
  make_embeddings();
  down_blocks = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownBlock2D>>());
  up_blocks = register_module("up_blocks", std::make_shared<nn::ModuleList<nn::UpBlock2D>>());
  for (std::size_t i = 0; i < config.levels(); ++i) {
    down_blocks->append(nn::DownBlock2D(down_block_options(config, i)));
    up_blocks->append(nn::UpBlock2D(up_block_options(config, i)));
  }
  if (config.mid_block_type) {
    mid_block = register_module("mid_block", nn::UNetMidBlock2D(mid_block_options(config)));
  }
  time_projections = register_module("time_projections", nn::TimeProjections(*this, conv_act_));
  conv_norm_out = register_module(
      "conv_norm_out", nn::GroupNorm(config.norm_num_groups.value(), first, config.norm_eps));
  conv_out =
      register_module("conv_out", nn::Conv2d(first, config.out_channels, config.conv_out_kernel, 1,
                                             config.conv_out_kernel / 2));
}

DenoiserShape UNet2DConditionModelImpl::shape() const {
  DenoiserShape shape;
  shape.in_channels = config.in_channels;
  shape.out_channels = config.out_channels;
  if (config.sample_size) shape.sample_size = config.sample_size->at(0);
  shape.context_dim = config.cross_attention_dim.at(0);
  shape.num_classes = class_table ? class_table->weight.size(0) : 0;
  shape.block_out_channels = config.block_out_channels;
  return shape;
}

void UNet2DConditionModelImpl::set_freeu(const std::optional<nn::FreeU>& lowest,
                                         const std::optional<nn::FreeU>& next) {
  std::size_t i = 0;
  for (nn::UpBlock2D block : *up_blocks) {
    if (i < 2) block->freeu = i == 0 ? lowest : next;
    ++i;
  }
}

void UNet2DConditionModelImpl::set_deep_feature(nn::DeepFeature* feature) {
  last_up_block().deep_feature = feature;
}

void UNet2DConditionModelImpl::make_embeddings() {
  nn::TimestepEmbeddingOptions options;
  options.in_channels = config.block_out_channels.front();
  options.time_embed_dim = config.time_embed_dim();
  options.act_fn = config.act_fn;
  if (config.class_embed_type) {
    class_projection = register_module("class_embedding", nn::TimestepEmbedding(options));
  } else if (config.num_class_embeds) {
    class_table = register_module("class_embedding",
                                  nn::Embedding(*config.num_class_embeds, options.time_embed_dim));
  }
  options.post_act_fn = config.timestep_post_act;
  options.cond_proj_dim = config.time_cond_proj_dim.value_or(0);
  time_embedding = register_module("time_embedding", nn::TimestepEmbedding(options));
}

at::Tensor UNet2DConditionModelImpl::embed_class(std::int64_t batch,
                                                 const at::Tensor& class_labels) const {
  if (!class_labels.defined()) {
    throw Error::internal("a UNet with a class embedding was called without class labels");
  }
  const at::Tensor labels = class_labels.to(weights().device()).expand({batch});
  if (class_table) return class_table->forward(labels);
  return class_projection->forward(
      nn::get_timestep_embedding(labels, config.block_out_channels.front(), config.flip_sin_to_cos,
                                 config.freq_shift)
          .to(weights().scalar_type()));
}

at::Tensor UNet2DConditionModelImpl::embed_time(std::int64_t batch, const at::Tensor& timestep,
                                                const at::Tensor& class_labels,
                                                const at::Tensor& timestep_cond) const {
  const at::Tensor steps = timestep.to(weights().device()).expand({batch});
  const at::Tensor sinusoid = nn::get_timestep_embedding(steps, config.block_out_channels.front(),
                                                         config.flip_sin_to_cos, config.freq_shift)
                                  .to(weights().scalar_type());
  at::Tensor embedding = time_embedding->forward(
      sinusoid, timestep_cond.defined() ? timestep_cond.to(sinusoid.options()) : timestep_cond);
  if (class_table || class_projection) embedding = embedding + embed_class(batch, class_labels);
  return time_embed_act_ == nullptr ? embedding : time_embed_act_(embedding);
}

at::Tensor UNet2DConditionModelImpl::forward(const at::Tensor& sample, const at::Tensor& timestep,
                                             const at::Tensor& encoder_hidden_states,
                                             const at::Tensor& class_labels,
                                             const at::Tensor& timestep_cond,
                                             const nn::UNetResiduals& residuals) const {
  const at::Tensor embedding =
      time_projections->forward(embed_time(sample.size(0), timestep, class_labels, timestep_cond));
  return denoise_embedded(sample, embedding, encoder_hidden_states, residuals);
}

at::Tensor UNet2DConditionModelImpl::embed(std::int64_t batch, const at::Tensor& timestep,
                                           const at::Tensor& class_labels) const {
  return time_projections->forward(embed_time(batch, timestep, class_labels));
}

at::Tensor UNet2DConditionModelImpl::denoise_embedded(const at::Tensor& sample,
                                                      const at::Tensor& embedding,
                                                      const at::Tensor& context,
                                                      const nn::UNetResiduals& residuals) const {
  if (sample.dim() != 4 || sample.size(1) != config.in_channels) {
    throw Error::internal("the UNet takes [B, " + std::to_string(config.in_channels) +
                          ", h, w] latents");
  }
  const at::ScalarType dtype = weights().scalar_type();
  const at::Tensor latents = sample.to(dtype);
  const at::Tensor text = context.defined() ? context.to(dtype) : context;
  const at::Tensor hidden =
      conv_in->forward(config.center_input_sample ? 2 * latents - 1.0 : latents);
  const nn::UpBlock2DImpl& last = last_up_block();
  const bool shallow = last.deep_feature != nullptr && last.deep_feature->reuse;
  const at::Tensor mixed =
      shallow ? last.forward_layer(last.resnets->size() - 1, last.deep_feature->hidden, hidden,
                                   embedding, text)
              : nn::forward_unet_blocks(*down_blocks, mid_block, *up_blocks, hidden, embedding,
                                        text, gradient_checkpointing, residuals);
  const at::Tensor output = conv_out->forward(conv_norm_out->forward(mixed, conv_act_));
  return text.defined() ? nn::repeat_batch(output, text.size(0)) : output;
}

}  // namespace ldm::models
