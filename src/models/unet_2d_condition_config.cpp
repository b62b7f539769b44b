#include "ldm/models/unet_2d_condition_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "ldm/core/error.h"

namespace ldm::models {
namespace {

// Far above every published model; they keep a hostile config from building modules without end.
constexpr std::int64_t kMaxLevels = 16;
constexpr std::int64_t kMaxLayers = 64;
constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxKernel = 31;
constexpr std::int64_t kMaxClasses = 1 << 24;

[[noreturn]] void refuse(const std::string& field, const std::string& problem) {
  throw Error::model("UNet config: " + field + " " + problem);
}

void require_range(const std::string& field, std::int64_t value, std::int64_t low,
                   std::int64_t high) {
  if (value >= low && value <= high) return;
  refuse(field, "is " + std::to_string(value) + ", expected " + std::to_string(low) + " to " +
                    std::to_string(high));
}

template <class T>
void require_fit(const std::string& field, const ValueOrList<T>& list, std::size_t levels) {
  if (list.fits(levels)) return;
  refuse(field, "has " + std::to_string(list.values.size()) + " values for " +
                    std::to_string(levels) + " levels");
}

void require_range(const std::string& field, const IntOrList& list, std::int64_t low,
                   std::int64_t high) {
  for (const std::int64_t value : list.values) require_range(field, value, low, high);
}

void require_one_of(const std::string& field, const std::string& value,
                    std::initializer_list<std::string_view> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string names;
  for (const std::string_view name : known) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(field, "\"" + value + "\" is not supported (known: " + names + ")");
}

template <class T>
void require_absent(const std::string& field, const std::optional<T>& value) {
  if (value) refuse(field, "is not supported: it belongs to another family of models");
}

void check_unsupported(const UNet2DConditionConfig& c) {
  require_absent("addition_embed_type", c.addition_embed_type);
  require_absent("encoder_hid_dim", c.encoder_hid_dim);
  require_absent("encoder_hid_dim_type", c.encoder_hid_dim_type);
  require_absent("reverse_transformer_layers_per_block", c.reverse_transformer_layers_per_block);
  if (c.dual_cross_attention) refuse("dual_cross_attention", "true is not supported");
  if (c.class_embeddings_concat) refuse("class_embeddings_concat", "true is not supported");
  require_one_of("attention_type", c.attention_type, {"default"});
  require_one_of("time_embedding_type", c.time_embedding_type, {"positional"});
  require_one_of("resnet_time_scale_shift", c.resnet_time_scale_shift, {"default", "scale_shift"});
  if (c.class_embed_type) require_one_of("class_embed_type", *c.class_embed_type, {"timestep"});
}

void check_levels(const UNet2DConditionConfig& c) {
  const std::size_t levels = c.levels();
  require_range("the length of block_out_channels", static_cast<std::int64_t>(levels), 1,
                kMaxLevels);
  if (c.down_block_types.size() != levels || c.up_block_types.size() != levels) {
    refuse("block_out_channels", "has " + std::to_string(levels) + " levels, down_block_types " +
                                     std::to_string(c.down_block_types.size()) +
                                     " and up_block_types " +
                                     std::to_string(c.up_block_types.size()));
  }
  require_fit("only_cross_attention", c.only_cross_attention, levels);
  require_fit("layers_per_block", c.layers_per_block, levels);
  require_fit("cross_attention_dim", c.cross_attention_dim, levels);
  require_fit("transformer_layers_per_block", c.transformer_layers_per_block, levels);
  require_fit("attention_head_dim", c.attention_head_dim, levels);
  if (c.num_attention_heads) require_fit("num_attention_heads", *c.num_attention_heads, levels);
}

void check_block_types(const UNet2DConditionConfig& c) {
  for (const std::string& type : c.down_block_types) {
    require_one_of("down_block_types", type,
                   {"CrossAttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"});
  }
  for (const std::string& type : c.up_block_types) {
    require_one_of("up_block_types", type, {"CrossAttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D"});
  }
  if (c.mid_block_type) {
    require_one_of("mid_block_type", *c.mid_block_type,
                   {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D"});
  }
}

void check_ranges(const UNet2DConditionConfig& c) {
  require_range("in_channels", c.in_channels, 1, kMaxWidth);
  require_range("out_channels", c.out_channels, 1, kMaxWidth);
  for (const std::int64_t width : c.block_out_channels) {
    require_range("block_out_channels", width, 1, kMaxWidth);
  }
  require_range("layers_per_block", c.layers_per_block, 1, kMaxLayers);
  require_range("transformer_layers_per_block", c.transformer_layers_per_block, 1, kMaxLayers);
  require_range("cross_attention_dim", c.cross_attention_dim, 1, kMaxWidth);
  require_range("attention_head_dim", c.attention_head_dim, 1, kMaxWidth);
  if (c.num_attention_heads) {
    require_range("num_attention_heads", *c.num_attention_heads, 1, kMaxWidth);
  }
  require_range("downsample_padding", c.downsample_padding, 0, 1);
  require_range("conv_in_kernel", c.conv_in_kernel, 1, kMaxKernel);
  require_range("conv_out_kernel", c.conv_out_kernel, 1, kMaxKernel);
  require_range("freq_shift", c.freq_shift, 0, 1);
  require_range("time_embedding_dim", c.time_embed_dim(), 1, 4 * kMaxWidth);
  require_range("time_cond_proj_dim", c.time_cond_proj_dim.value_or(1), 1, kMaxWidth);
  require_range("num_class_embeds", c.num_class_embeds.value_or(1), 1, kMaxClasses);
  if (!(c.norm_eps > 0.0) || !std::isfinite(c.norm_eps)) refuse("norm_eps", "is not positive");
  if (c.mid_block_scale_factor == 0.0 || !std::isfinite(c.mid_block_scale_factor)) {
    refuse("mid_block_scale_factor", "is zero or not finite");
  }
}

void check_divisions(const UNet2DConditionConfig& c) {
  if (!c.norm_num_groups) refuse("norm_num_groups", "null is not supported");
  require_range("norm_num_groups", *c.norm_num_groups, 1, kMaxWidth);
  if (c.conv_in_kernel % 2 == 0) refuse("conv_in_kernel", "is even");
  if (c.conv_out_kernel % 2 == 0) refuse("conv_out_kernel", "is even");
  if (c.block_out_channels.front() / 2 <= c.freq_shift) {
    refuse("block_out_channels", "starts too narrow for a timestep embedding");
  }
  for (std::size_t i = 0; i < c.levels(); ++i) {
    const std::int64_t width = c.block_out_channels[i];
    const std::string level = "of level " + std::to_string(i) + " (" + std::to_string(width) + ")";
    if (width % *c.norm_num_groups != 0) {
      refuse("block_out_channels", level + " is no multiple of norm_num_groups (" +
                                       std::to_string(*c.norm_num_groups) + ")");
    }
    if (width % c.heads(i) != 0) {
      refuse("block_out_channels",
             level + " cannot be split into " + std::to_string(c.heads(i)) + " attention heads");
    }
    // Self-attention blocks read the field literally, and on the way up without reversing it.
    const std::int64_t down_dim = c.attention_head_dim.at(i);
    const std::int64_t up_dim = c.attention_head_dim.at(c.levels() - 1 - i);
    if ((c.down_block_types[i] == "AttnDownBlock2D" && width % down_dim != 0) ||
        (c.up_block_types[c.levels() - 1 - i] == "AttnUpBlock2D" && width % up_dim != 0)) {
      refuse("attention_head_dim", "does not divide block_out_channels " + level);
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
