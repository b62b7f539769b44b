#include "ldm/models/unet_2d_condition_config.h"

#include "ldm/models/config_checks.h"

namespace ldm::models {
namespace {

constexpr std::int64_t kMaxKernel = 31;
constexpr ConfigChecks kCheck{"UNet config"};

void check_unsupported(const UNet2DConditionConfig& c) {
  kCheck.absent("addition_embed_type", c.addition_embed_type);
  kCheck.absent("encoder_hid_dim", c.encoder_hid_dim);
  kCheck.absent("encoder_hid_dim_type", c.encoder_hid_dim_type);
  kCheck.absent("reverse_transformer_layers_per_block", c.reverse_transformer_layers_per_block);
  if (c.dual_cross_attention) kCheck.refuse("dual_cross_attention", "true is not supported");
  if (c.class_embeddings_concat) kCheck.refuse("class_embeddings_concat", "true is not supported");
  kCheck.one_of("attention_type", c.attention_type, {"default"});
  kCheck.one_of("time_embedding_type", c.time_embedding_type, {"positional"});
  kCheck.one_of("resnet_time_scale_shift", c.resnet_time_scale_shift, {"default", "scale_shift"});
  if (c.class_embed_type) kCheck.one_of("class_embed_type", *c.class_embed_type, {"timestep"});
}

void check_levels(const UNet2DConditionConfig& c) {
  const std::size_t levels = c.levels();
  kCheck.range("the length of block_out_channels", static_cast<std::int64_t>(levels), 1,
               kMaxLevels);
  if (c.down_block_types.size() != levels || c.up_block_types.size() != levels) {
    kCheck.refuse("block_out_channels",
                  "has " + std::to_string(levels) + " levels, down_block_types " +
                      std::to_string(c.down_block_types.size()) + " and up_block_types " +
                      std::to_string(c.up_block_types.size()));
  }
  kCheck.fits("only_cross_attention", c.only_cross_attention, levels);
  kCheck.fits("layers_per_block", c.layers_per_block, levels);
  kCheck.fits("cross_attention_dim", c.cross_attention_dim, levels);
  kCheck.fits("transformer_layers_per_block", c.transformer_layers_per_block, levels);
  kCheck.fits("attention_head_dim", c.attention_head_dim, levels);
  if (c.num_attention_heads) kCheck.fits("num_attention_heads", *c.num_attention_heads, levels);
}

void check_block_types(const UNet2DConditionConfig& c) {
  for (const std::string& type : c.down_block_types) {
    kCheck.one_of("down_block_types", type,
                  {"CrossAttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"});
  }
  for (const std::string& type : c.up_block_types) {
    kCheck.one_of("up_block_types", type, {"CrossAttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D"});
  }
  if (c.mid_block_type) {
    kCheck.one_of("mid_block_type", *c.mid_block_type,
                  {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D"});
  }
}

void check_ranges(const UNet2DConditionConfig& c) {
  kCheck.range("in_channels", c.in_channels, 1, kMaxWidth);
  kCheck.range("out_channels", c.out_channels, 1, kMaxWidth);
  for (const std::int64_t width : c.block_out_channels) {
    kCheck.range("block_out_channels", width, 1, kMaxWidth);
  }
  kCheck.range("layers_per_block", c.layers_per_block, 1, kMaxLayers);
  kCheck.range("transformer_layers_per_block", c.transformer_layers_per_block, 1, kMaxLayers);
  kCheck.range("cross_attention_dim", c.cross_attention_dim, 1, kMaxWidth);
  kCheck.range("attention_head_dim", c.attention_head_dim, 1, kMaxWidth);
  if (c.num_attention_heads) {
    kCheck.range("num_attention_heads", *c.num_attention_heads, 1, kMaxWidth);
  }
  kCheck.range("downsample_padding", c.downsample_padding, 0, 1);
  kCheck.range("conv_in_kernel", c.conv_in_kernel, 1, kMaxKernel);
  kCheck.range("conv_out_kernel", c.conv_out_kernel, 1, kMaxKernel);
  kCheck.range("freq_shift", c.freq_shift, 0, 1);
  kCheck.range("time_embedding_dim", c.time_embed_dim(), 1, 4 * kMaxWidth);
  kCheck.range("time_cond_proj_dim", c.time_cond_proj_dim.value_or(1), 1, kMaxWidth);
  kCheck.range("num_class_embeds", c.num_class_embeds.value_or(1), 1, kMaxClasses);
  kCheck.positive("norm_eps", c.norm_eps);
  kCheck.not_zero("mid_block_scale_factor", c.mid_block_scale_factor);
}

void check_divisions(const UNet2DConditionConfig& c) {
  if (!c.norm_num_groups) kCheck.refuse("norm_num_groups", "null is not supported");
  kCheck.range("norm_num_groups", *c.norm_num_groups, 1, kMaxWidth);
  if (c.conv_in_kernel % 2 == 0) kCheck.refuse("conv_in_kernel", "is even");
  if (c.conv_out_kernel % 2 == 0) kCheck.refuse("conv_out_kernel", "is even");
  if (c.block_out_channels.front() / 2 <= c.freq_shift) {
    kCheck.refuse("block_out_channels", "starts too narrow for a timestep embedding");
  }
  for (std::size_t i = 0; i < c.levels(); ++i) {
    const std::int64_t width = c.block_out_channels[i];
    const std::string level = "of level " + std::to_string(i) + " (" + std::to_string(width) + ")";
    if (width % *c.norm_num_groups != 0) {
      kCheck.refuse("block_out_channels", level + " is no multiple of norm_num_groups (" +
                                              std::to_string(*c.norm_num_groups) + ")");
    }
    if (width % c.heads(i) != 0) {
      kCheck.refuse("block_out_channels", level + " cannot be split into " +
                                              std::to_string(c.heads(i)) + " attention heads");
    }
    // Self-attention blocks read the field literally, and on the way up without reversing it.
    const std::int64_t down_dim = c.attention_head_dim.at(i);
    const std::int64_t up_dim = c.attention_head_dim.at(c.levels() - 1 - i);
    if ((c.down_block_types[i] == "AttnDownBlock2D" && width % down_dim != 0) ||
        (c.up_block_types[c.levels() - 1 - i] == "AttnUpBlock2D" && width % up_dim != 0)) {
      kCheck.refuse("attention_head_dim", "does not divide block_out_channels " + level);
    }
  }
}

}  // namespace

void UNet2DConditionConfig::validate() const {
  check_unsupported(*this);
  check_levels(*this);
  check_block_types(*this);
  check_ranges(*this);
  check_divisions(*this);
}

}  // namespace ldm::models
