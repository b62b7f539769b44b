#include "ldm/models/controlnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/flip.h>

#include "ldm/models/config_checks.h"
#include "ldm/models/unet_2d_condition_blocks.h"

namespace ldm::models {
namespace {

constexpr ConfigChecks kCheck{"ControlNet config"};

/// It has no up blocks, whatever the defaults of the fields it shares with the UNet say.
ControlNetConfig validated(ControlNetConfig config) {
  config.up_block_types.assign(config.levels(), "UpBlock2D");
  config.validate();
  return config;
}

}  // namespace

void ControlNetConfig::validate() const {
  UNet2DConditionConfig::validate();
  kCheck.absent("class_embed_type", class_embed_type);
  kCheck.absent("num_class_embeds", num_class_embeds);
  kCheck.absent("time_cond_proj_dim", time_cond_proj_dim);
  kCheck.one_of("controlnet_conditioning_channel_order", controlnet_conditioning_channel_order,
                {"rgb", "bgr"});
  if (global_pool_conditions) kCheck.refuse("global_pool_conditions", "true is not supported");
  kCheck.range("conditioning_channels", conditioning_channels, 3, 3);
  kCheck.range("the length of conditioning_embedding_out_channels",
               static_cast<std::int64_t>(conditioning_embedding_out_channels.size()), 1, 8);
  for (const std::int64_t width : conditioning_embedding_out_channels) {
    kCheck.range("conditioning_embedding_out_channels", width, 1, kMaxWidth);
  }
  if (!mid_block_type) kCheck.refuse("mid_block_type", "null is not supported");
}

ControlNetConditioningEmbeddingImpl::ControlNetConditioningEmbeddingImpl(
    const ControlNetConfig& config) {
  const std::vector<std::int64_t>& widths = config.conditioning_embedding_out_channels;
  conv_in =
      register_module("conv_in", nn::Conv2d(config.conditioning_channels, widths.front(), 3, 1, 1));
  blocks = register_module("blocks", std::make_shared<nn::ModuleList<nn::Conv2d>>());
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    blocks->append(nn::Conv2d(widths[i], widths[i], 3, 1, 1));
    blocks->append(nn::Conv2d(widths[i], widths[i + 1], 3, 2, 1));
  }
  conv_out = register_module("conv_out",
                             nn::Conv2d(widths.back(), config.block_out_channels.front(), 3, 1, 1));
}

at::Tensor ControlNetConditioningEmbeddingImpl::forward(const at::Tensor& x) const {
  const nn::Activation silu = nn::get_activation("silu");
  at::Tensor hidden = silu(conv_in->forward(x));
  for (const auto& block : *blocks) hidden = silu(block->forward(hidden));
  return conv_out->forward(hidden);
}

ControlNetModelImpl::ControlNetModelImpl(const ControlNetConfig& given) : config(validated(given)) {
  const std::int64_t first = config.block_out_channels.front();
  conv_in = register_module("conv_in", nn::Conv2d(config.in_channels, first, config.conv_in_kernel,
                                                  1, config.conv_in_kernel / 2));
  nn::TimestepEmbeddingOptions time;
  time.in_channels = first;
  time.time_embed_dim = config.time_embed_dim();
  time.act_fn = config.act_fn;
  time_embedding = register_module("time_embedding", nn::TimestepEmbedding(time));
  controlnet_cond_embedding =
      register_module("controlnet_cond_embedding", ControlNetConditioningEmbedding(config));
  down_blocks = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownBlock2D>>());
  controlnet_down_blocks =
      register_module("controlnet_down_blocks", std::make_shared<nn::ModuleList<nn::Conv2d>>());
  controlnet_down_blocks->append(nn::Conv2d(first, first, 1));
  for (std::size_t i = 0; i < config.levels(); ++i) {
    const nn::UNetBlockOptions options = down_block_options(config, i);
    down_blocks->append(nn::DownBlock2D(options));
    const std::int64_t outputs = options.num_layers + (options.add_sampler ? 1 : 0);
    for (std::int64_t j = 0; j < outputs; ++j) {
      controlnet_down_blocks->append(nn::Conv2d(options.out_channels, options.out_channels, 1));
    }
  }
  mid_block = register_module("mid_block", nn::UNetMidBlock2D(mid_block_options(config)));
  const std::int64_t last = config.block_out_channels.back();
  controlnet_mid_block = register_module("controlnet_mid_block", nn::Conv2d(last, last, 1));
}

at::Tensor ControlNetModelImpl::embed_control(const at::Tensor& control) const {
  const bool bgr = config.controlnet_conditioning_channel_order == "bgr";
  return controlnet_cond_embedding->forward(bgr ? at::flip(control, {1}) : control);
}

nn::UNetResiduals ControlNetModelImpl::forward(const at::Tensor& sample, const at::Tensor& timestep,
                                               const at::Tensor& encoder_hidden_states,
                                               const at::Tensor& embedded_control,
                                               double scale) const {
  const at::Tensor sinusoid = nn::get_timestep_embedding(timestep.expand({sample.size(0)}),
                                                         config.block_out_channels.front(),
                                                         config.flip_sin_to_cos, config.freq_shift);
  const at::Tensor temb = time_embedding->forward(sinusoid.to(sample.scalar_type()));
  const at::Tensor hidden =
      conv_in->forward(config.center_input_sample ? 2 * sample - 1.0 : sample) + embedded_control;
  nn::UNetResiduals half =
      nn::forward_unet_encoder(*down_blocks, mid_block, hidden, temb, encoder_hidden_states);
  for (std::size_t i = 0; i < half.skips.size(); ++i) {
    half.skips[i] = (*controlnet_down_blocks)[i]->forward(half.skips[i]) * scale;
  }
  half.mid = controlnet_mid_block->forward(half.mid) * scale;
  return half;
}

}  // namespace ldm::models
