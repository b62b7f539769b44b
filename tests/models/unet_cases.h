#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ldm/models/unet_2d_condition_config.h"

namespace ldm::test {

using UNetConfig = models::UNet2DConditionConfig;
using UNetConfigs = std::map<std::string, UNetConfig>;
using Ints = std::vector<std::int64_t>;

/// TINY of scripts/goldens/unet.py.
inline UNetConfig tiny_unet() {
  UNetConfig c;
  c.block_out_channels = {32, 64, 64};
  c.down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"};
  c.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
  c.layers_per_block = 1;
  c.norm_num_groups = 8;
  c.cross_attention_dim = 24;
  c.attention_head_dim = 4;
  return c;
}

/// The published kinds of model: CASES of scripts/goldens/unet.py, first half.
inline UNetConfigs tiny_published_unets() {
  UNetConfigs cases;
  const auto add = [&](const std::string& name) -> UNetConfig& {
    return cases.emplace(name, tiny_unet()).first->second;
  };
  add("sd1").layers_per_block = 2;
  UNetConfig& sd2 = add("sd2");
  sd2.use_linear_projection = true;
  sd2.attention_head_dim = Ints{2, 4, 8};
  sd2.upcast_attention = true;
  sd2.norm_num_groups = 32;
  add("inpainting").in_channels = 9;
  UNetConfig& depth = add("depth");
  depth.in_channels = 5;
  depth.use_linear_projection = true;
  depth.attention_head_dim = Ints{2, 4, 8};
  UNetConfig& upscaler = add("upscaler");
  upscaler.in_channels = 7;
  upscaler.num_class_embeds = 11;
  upscaler.only_cross_attention = std::vector<bool>{true, false, false};
  upscaler.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
  upscaler.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  upscaler.use_linear_projection = true;
  add("lcm").time_cond_proj_dim = 12;
  return cases;
}

/// Fields that published models seldom set: CASES of scripts/goldens/unet.py, second half.
inline UNetConfigs tiny_unusual_unets() {
  UNetConfigs cases;
  const auto add = [&](const std::string& name) -> UNetConfig& {
    return cases.emplace(name, tiny_unet()).first->second;
  };
  add("class_timestep").class_embed_type = "timestep";
  UNetConfig& only_cross = add("only_cross_attention");
  only_cross.only_cross_attention = true;
  only_cross.out_channels = 8;
  add("scale_shift").resnet_time_scale_shift = "scale_shift";
  UNetConfig& lists = add("lists");
  lists.layers_per_block = Ints{1, 2, 1};
  lists.transformer_layers_per_block = Ints{1, 2, 3};
  lists.cross_attention_dim = Ints{24, 24, 24};
  UNetConfig& self = add("self_attention");
  self.down_block_types = {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  self.up_block_types = {"AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
  self.attention_head_dim = Ints{8, 16, 32};
  add("no_mid_block").mid_block_type.reset();
  UNetConfig& other = add("other_fields");
  other.mid_block_type = "UNetMidBlock2D";
  other.mid_block_scale_factor = 2.0;
  other.act_fn = "gelu";
  other.conv_in_kernel = 1;
  other.conv_out_kernel = 5;
  other.center_input_sample = true;
  other.flip_sin_to_cos = false;
  other.freq_shift = 1;
  other.downsample_padding = 0;
  other.norm_eps = 1e-3;
  other.time_embedding_dim = 40;
  other.time_embedding_act_fn = "silu";
  other.timestep_post_act = "gelu";
  return cases;
}

/// FULL_SIZE of scripts/goldens/unet.py.
inline UNetConfigs full_size_unets() {
  UNetConfigs cases;
  UNetConfig sd15;
  sd15.cross_attention_dim = 768;
  cases["sd15"] = sd15;
  sd15.in_channels = 9;
  cases["sd15_inpainting"] = sd15;
  UNetConfig sd21;
  sd21.cross_attention_dim = 1024;
  sd21.attention_head_dim = Ints{5, 10, 20, 20};
  sd21.use_linear_projection = true;
  cases["sd21"] = sd21;
  sd21.in_channels = 5;
  cases["sd2_depth"] = sd21;
  UNetConfig& upscaler = cases["x4_upscaler"];
  upscaler.in_channels = 7;
  upscaler.block_out_channels = {256, 512, 512, 1024};
  upscaler.cross_attention_dim = 1024;
  upscaler.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                               "CrossAttnDownBlock2D"};
  upscaler.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                             "UpBlock2D"};
  upscaler.num_class_embeds = 1000;
  upscaler.only_cross_attention = std::vector<bool>{true, true, true, false};
  upscaler.use_linear_projection = true;
  return cases;
}

}  // namespace ldm::test
