#include "ldm/models/unet_2d_condition_blocks.h"

#include <string>

namespace ldm::models {
namespace {

using nn::BlockAttention;
using nn::UNetBlockOptions;

BlockAttention attention_of(const std::string& block_type) {
  if (block_type.rfind("CrossAttn", 0) == 0 || block_type == "UNetMidBlock2DCrossAttn") {
    return BlockAttention::kCross;
  }
  return block_type.rfind("Attn", 0) == 0 ? BlockAttention::kSelf : BlockAttention::kNone;
}

/// What the down, mid and up blocks of level `i` have in common.
UNetBlockOptions level_options(const UNet2DConditionConfig& config, std::size_t i) {
  UNetBlockOptions options;
  options.temb_channels = config.time_embed_dim();
  options.downsample_padding = config.downsample_padding;
  options.resnet_eps = config.norm_eps;
  options.resnet_act_fn = config.act_fn;
  options.resnet_groups = config.norm_num_groups.value();
  options.resnet_time_scale_shift = config.resnet_time_scale_shift;
  options.num_attention_heads = config.heads(i);
  options.transformer_layers = config.transformer_layers_per_block.at(i);
  options.cross_attention_dim = config.cross_attention_dim.at(i);
  options.use_linear_projection = config.use_linear_projection;
  options.only_cross_attention = config.only_cross_attention.at(i);
  return options;
}

}  // namespace

UNetBlockOptions down_block_options(const UNet2DConditionConfig& config, std::size_t i) {
  UNetBlockOptions options = level_options(config, i);
  options.in_channels = config.block_out_channels[i == 0 ? 0 : i - 1];
  options.out_channels = config.block_out_channels[i];
  options.num_layers = config.layers_per_block.at(i);
  options.add_sampler = i + 1 < config.levels();
  options.attention = attention_of(config.down_block_types[i]);
  options.attention_head_dim = config.attention_head_dim.at(i);
  return options;
}

UNetBlockOptions mid_block_options(const UNet2DConditionConfig& config) {
  UNetBlockOptions options = level_options(config, config.levels() - 1);
  options.in_channels = config.block_out_channels.back();
  options.attention = attention_of(*config.mid_block_type);
  options.num_layers = options.attention == BlockAttention::kCross ? 1 : 0;
  options.output_scale_factor = config.mid_block_scale_factor;
  options.only_cross_attention = false;
  return options;
}

/// `i` counts up blocks, from the deepest level to the first.
UNetBlockOptions up_block_options(const UNet2DConditionConfig& config, std::size_t i) {
  const std::size_t level = config.levels() - 1 - i;
  UNetBlockOptions options = level_options(config, level);
  options.in_channels = config.block_out_channels[level == 0 ? 0 : level - 1];
  options.out_channels = config.block_out_channels[level];
  options.prev_output_channel = config.block_out_channels[i == 0 ? level : level + 1];
  options.num_layers = config.layers_per_block.at(level) + 1;
  options.add_sampler = level > 0;
  options.attention = attention_of(config.up_block_types[i]);
  // Not reversed, unlike everything else: so does diffusers.
  options.attention_head_dim = config.attention_head_dim.at(i);
  return options;
}

}  // namespace ldm::models
