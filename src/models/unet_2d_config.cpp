#include "ldm/models/unet_2d_config.h"

#include "ldm/core/text.h"
#include "ldm/models/config_checks.h"

namespace ldm::models {
namespace {

constexpr ConfigChecks kCheck{"UNet config"};

void check_names(const UNet2DConfig& c) {
  kCheck.one_of("time_embedding_type", c.time_embedding_type, {"positional"});
  kCheck.one_of("resnet_time_scale_shift", c.resnet_time_scale_shift, {"default", "scale_shift"});
  kCheck.one_of("downsample_type", c.downsample_type, {"conv", "resnet"});
  kCheck.one_of("upsample_type", c.upsample_type, {"conv", "resnet"});
  if (c.class_embed_type) kCheck.one_of("class_embed_type", *c.class_embed_type, {"timestep"});
  if (c.mid_block_type) kCheck.one_of("mid_block_type", *c.mid_block_type, {"UNetMidBlock2D"});
  for (const std::string& type : c.down_block_types) {
    kCheck.one_of("down_block_types", type,
                  {"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"});
  }
  for (const std::string& type : c.up_block_types) {
    kCheck.one_of("up_block_types", type, {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"});
  }
}

void check_ranges(const UNet2DConfig& c) {
  kCheck.range("in_channels", c.in_channels, 1, kMaxWidth);
  kCheck.range("out_channels", c.out_channels, 1, kMaxWidth);
  kCheck.range("layers_per_block", c.layers_per_block, 1, kMaxLayers);
  kCheck.range("downsample_padding", c.downsample_padding, 0, 1);
  kCheck.range("freq_shift", c.freq_shift, 0, 1);
  kCheck.range("norm_num_groups", c.norm_num_groups, 1, kMaxWidth);
  kCheck.range("attn_norm_num_groups", c.attn_norm_num_groups.value_or(1), 1, kMaxWidth);
  kCheck.range("time_embedding_dim", c.time_embed_dim(), 1, 4 * kMaxWidth);
  kCheck.range("num_class_embeds", c.num_class_embeds.value_or(1), 1, kMaxClasses);
  kCheck.positive("norm_eps", c.norm_eps);
  kCheck.not_zero("mid_block_scale_factor", c.mid_block_scale_factor);
}

void check_levels(const UNet2DConfig& c) {
  const std::size_t levels = c.levels();
  kCheck.range("the length of block_out_channels", static_cast<std::int64_t>(levels), 1,
               kMaxLevels);
  kCheck.length("down_block_types", c.down_block_types.size(), levels);
  kCheck.length("up_block_types", c.up_block_types.size(), levels);
  if (c.attention_head_dim) {
    kCheck.fits("attention_head_dim", *c.attention_head_dim, levels);
    kCheck.range("attention_head_dim", *c.attention_head_dim, 1, kMaxWidth);
  }
  for (const std::int64_t width : c.block_out_channels) {
    kCheck.range("block_out_channels", width, 1, kMaxWidth);
  }
  if (c.block_out_channels.front() / 2 <= c.freq_shift) {
    kCheck.refuse("block_out_channels", "starts too narrow for a timestep embedding");
  }
}

void check_divisions(const UNet2DConfig& c) {
  for (std::size_t i = 0; i < c.levels(); ++i) {
    const std::int64_t width = c.block_out_channels[i];
    const auto divides = [&](const std::string& field, std::int64_t part) {
      if (width % part == 0) return;
      kCheck.refuse("block_out_channels", cat("of level ", i, " (", width, ") is no multiple of ",
                                              field, " (", part, ")"));
    };
    divides("norm_num_groups", c.norm_num_groups);
    const bool deepest = i + 1 == c.levels() && c.mid_block_type && c.add_attention;
    if (deepest) divides("attn_norm_num_groups", c.attn_norm_num_groups.value_or(1));
    if (deepest || c.down_block_types[i] == "AttnDownBlock2D" ||
        c.up_block_types[c.levels() - 1 - i] == "AttnUpBlock2D") {
      divides("attention_head_dim", c.head_dim(i));
    }
  }
}

}  // namespace

void UNet2DConfig::validate() const {
  check_names(*this);
  check_levels(*this);
  check_ranges(*this);
  check_divisions(*this);
}

}  // namespace ldm::models
