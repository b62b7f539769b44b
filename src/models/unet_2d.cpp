#include "ldm/models/unet_2d.h"

#include <ATen/TensorOperators.h>

#include <string>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

using nn::BlockAttention;
using nn::UNetBlockOptions;

UNet2DConfig validated(const UNet2DConfig& config) {
  config.validate();
  return config;
}

/// What the down, mid and up blocks of level `i` have in common.
UNetBlockOptions level_options(const UNet2DConfig& config, std::size_t i) {
  UNetBlockOptions options;
  options.temb_channels = config.time_embed_dim();
  options.downsample_padding = config.downsample_padding;
  options.resnet_eps = config.norm_eps;
  options.resnet_act_fn = config.act_fn;
  options.resnet_groups = config.norm_num_groups;
  options.resnet_time_scale_shift = config.resnet_time_scale_shift;
  options.attention_head_dim = config.head_dim(i);
  return options;
}

/// `sampler` is the config's downsample_type or upsample_type, which only these blocks read.
void set_kind(UNetBlockOptions& options, const std::string& type, const std::string& sampler) {
  const bool attention = type.starts_with("Attn");
  options.attention = attention ? BlockAttention::kSelf : BlockAttention::kNone;
  options.resnet_sampler = attention ? sampler == "resnet" : type.starts_with("Resnet");
}

UNetBlockOptions down_options(const UNet2DConfig& config, std::size_t i) {
  UNetBlockOptions options = level_options(config, i);
  options.in_channels = config.block_out_channels[i == 0 ? 0 : i - 1];
  options.out_channels = config.block_out_channels[i];
  options.num_layers = config.layers_per_block;
  options.add_sampler = i + 1 < config.levels();
  set_kind(options, config.down_block_types[i], config.downsample_type);
  return options;
}

UNetBlockOptions mid_options(const UNet2DConfig& config) {
  UNetBlockOptions options = level_options(config, config.levels() - 1);
  options.in_channels = config.block_out_channels.back();
  options.attention = config.add_attention ? BlockAttention::kSelf : BlockAttention::kNone;
  options.attn_groups = config.attn_norm_num_groups.value_or(0);
  options.output_scale_factor = config.mid_block_scale_factor;
  return options;
}

/// `i` counts up blocks, from the deepest level to the first.
UNetBlockOptions up_options(const UNet2DConfig& config, std::size_t i) {
  const std::size_t level = config.levels() - 1 - i;
  UNetBlockOptions options = level_options(config, level);
  options.in_channels = config.block_out_channels[level == 0 ? 0 : level - 1];
  options.out_channels = config.block_out_channels[level];
  options.prev_output_channel = config.block_out_channels[i == 0 ? level : level + 1];
  options.num_layers = config.layers_per_block + 1;
  options.add_sampler = level > 0;
  set_kind(options, config.up_block_types[i], config.upsample_type);
  return options;
}

}  // namespace

UNet2DModelImpl::UNet2DModelImpl(const UNet2DConfig& unet_config) : config(validated(unet_config)) {
  const std::int64_t first = config.block_out_channels.front();
  conv_in = register_module("conv_in", nn::Conv2d(config.in_channels, first, 3, 1, 1));
  make_embeddings();
  down_blocks = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownBlock2D>>());
  up_blocks = register_module("up_blocks", std::make_shared<nn::ModuleList<nn::UpBlock2D>>());
  for (std::size_t i = 0; i < config.levels(); ++i) {
    down_blocks->append(nn::DownBlock2D(down_options(config, i)));
    up_blocks->append(nn::UpBlock2D(up_options(config, i)));
  }
  if (config.mid_block_type) {
    mid_block = register_module("mid_block", nn::UNetMidBlock2D(mid_options(config)));
  }
  conv_norm_out = register_module("conv_norm_out",
                                  nn::GroupNorm(config.norm_num_groups, first, config.norm_eps));
  conv_out = register_module("conv_out", nn::Conv2d(first, config.out_channels, 3, 1, 1));
}

DenoiserShape UNet2DModelImpl::shape() const {
  DenoiserShape shape;
  shape.in_channels = config.in_channels;
  shape.out_channels = config.out_channels;
  if (config.sample_size) shape.sample_size = config.sample_size->at(0);
  shape.num_classes = class_table ? class_table->weight.size(0) : 0;
  shape.block_out_channels = config.block_out_channels;
  return shape;
}

void UNet2DModelImpl::make_embeddings() {
  nn::TimestepEmbeddingOptions options;
  options.in_channels = config.block_out_channels.front();
  options.time_embed_dim = config.time_embed_dim();
  time_embedding = register_module("time_embedding", nn::TimestepEmbedding(options));
  if (config.class_embed_type) {
    class_projection = register_module("class_embedding", nn::TimestepEmbedding(options));
  } else if (config.num_class_embeds) {
    class_table = register_module("class_embedding",
                                  nn::Embedding(*config.num_class_embeds, options.time_embed_dim));
  }
}

at::Tensor UNet2DModelImpl::sinusoid(const at::Tensor& values, std::int64_t batch) const {
  return nn::get_timestep_embedding(values.to(weights().device()).expand({batch}),
                                    config.block_out_channels.front(), config.flip_sin_to_cos,
                                    config.freq_shift)
      .to(weights().scalar_type());
}

at::Tensor UNet2DModelImpl::embed(std::int64_t batch, const at::Tensor& timestep,
                                  const at::Tensor& class_labels) const {
  const at::Tensor time = time_embedding->forward(sinusoid(timestep, batch));
  if (!class_table && !class_projection) return time;
  if (!class_labels.defined()) {
    throw Error::internal("a UNet with a class embedding was called without class labels");
  }
  if (class_projection) {
    return time + class_projection->forward(sinusoid(class_labels, batch));
  }
  return time + class_table->forward(class_labels.to(weights().device()).expand({batch}));
}

void UNet2DModelImpl::check_sample(const at::Tensor& sample) const {
  if (sample.dim() != 4 || sample.size(1) != config.in_channels) {
    throw Error::internal(cat("the UNet takes [B, ", config.in_channels, ", h, w] latents"));
  }
  const std::int64_t multiple = std::int64_t{1} << (config.levels() - 1);
  if (sample.size(2) % multiple == 0 && sample.size(3) % multiple == 0) return;
  for (const auto& block : *up_blocks) {
    if (!block->resnet_upsamplers) continue;
    throw Error::input(cat("this model takes latents whose sides are multiples of ", multiple,
                           ", found ", sample.size(2), "×", sample.size(3)));
  }
}

at::Tensor UNet2DModelImpl::denoise_embedded(const at::Tensor& sample, const at::Tensor& embedding,
                                             const at::Tensor& /*context*/,
                                             const nn::UNetResiduals& /*residuals*/) const {
  check_sample(sample);
  const at::Tensor latents = sample.to(weights().scalar_type());
  const at::Tensor hidden =
      conv_in->forward(config.center_input_sample ? 2 * latents - 1.0 : latents);
  const at::Tensor mixed = nn::forward_unet_blocks(*down_blocks, mid_block, *up_blocks, hidden,
                                                   embedding, {}, gradient_checkpointing);
  return conv_out->forward(conv_norm_out->forward(mixed, nn::get_activation("silu")));
}

}  // namespace ldm::models
