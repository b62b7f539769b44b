#include "ldm/models/unet_2d_condition_config.h"

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "tests/models/unet_cases.h"
#include "tests/support/catch.h"

namespace {

using ldm::test::Ints;
using ldm::test::UNetConfig;

}  // namespace

TEST_CASE("a default UNet config is diffusers' and valid") {
  const UNetConfig config;
  CHECK_NOTHROW(config.validate());
  CHECK(config.levels() == 4);
  CHECK(config.time_embed_dim() == 1280);
  CHECK(config.heads(3) == 8);
}

TEST_CASE("heads come from num_attention_heads where it is given") {
  UNetConfig config;
  config.attention_head_dim = Ints{5, 10, 20, 20};
  CHECK(config.heads(1) == 10);
  config.num_attention_heads = 4;
  CHECK(config.heads(1) == 4);
}

TEST_CASE("visit names every field of diffusers' config once") {
  UNetConfig config;
  std::vector<std::string> names;
  config.visit([&](const char* name, auto&) { names.emplace_back(name); });
  CHECK(names.size() == 48);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  CHECK(names.front() == "sample_size");
}

TEST_CASE("an impossible UNet config is a model error that names the field") {
  using Change = std::function<void(UNetConfig&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"addition_embed_type", [](UNetConfig& c) { c.addition_embed_type = "text_time"; }},
      {"encoder_hid_dim", [](UNetConfig& c) { c.encoder_hid_dim = 64; }},
      {"encoder_hid_dim_type", [](UNetConfig& c) { c.encoder_hid_dim_type = "text_proj"; }},
      {"reverse_transformer_layers_per_block",
       [](UNetConfig& c) {
         c.reverse_transformer_layers_per_block = Ints{1, 1, 1, 1};
       }},
      {"dual_cross_attention", [](UNetConfig& c) { c.dual_cross_attention = true; }},
      {"class_embeddings_concat", [](UNetConfig& c) { c.class_embeddings_concat = true; }},
      {"attention_type", [](UNetConfig& c) { c.attention_type = "gated"; }},
      {"time_embedding_type", [](UNetConfig& c) { c.time_embedding_type = "fourier"; }},
      {"resnet_time_scale_shift", [](UNetConfig& c) { c.resnet_time_scale_shift = "spatial"; }},
      {"class_embed_type", [](UNetConfig& c) { c.class_embed_type = "projection"; }},
      {"down_block_types", [](UNetConfig& c) { c.down_block_types[1] = "KDownBlock2D"; }},
      {"up_block_types", [](UNetConfig& c) { c.up_block_types[1] = "UpDecoderBlock2D"; }},
      {"up_block_types", [](UNetConfig& c) { c.up_block_types.pop_back(); }},
      {"mid_block_type", [](UNetConfig& c) { c.mid_block_type = "UNetMidBlock2DSimpleCrossAttn"; }},
      {"block_out_channels", [](UNetConfig& c) { c.block_out_channels.clear(); }},
      {"block_out_channels", [](UNetConfig& c) { c.block_out_channels[2] = 1000; }},
      {"block_out_channels", [](UNetConfig& c) { c.block_out_channels[2] = -32; }},
      {"attention heads", [](UNetConfig& c) { c.attention_head_dim = 7; }},
      {"attention_head_dim",
       [](UNetConfig& c) {
         c.attention_head_dim = Ints{5, 10};
       }},
      {"attention_head_dim", [](UNetConfig& c) { c.attention_head_dim = 0; }},
      {"num_attention_heads", [](UNetConfig& c) { c.num_attention_heads = Ints{8}; }},
      {"only_cross_attention",
       [](UNetConfig& c) { c.only_cross_attention = std::vector<bool>{true}; }},
      {"layers_per_block",
       [](UNetConfig& c) {
         c.layers_per_block = Ints{2, 2};
       }},
      {"layers_per_block", [](UNetConfig& c) { c.layers_per_block = 1000000; }},
      {"transformer_layers_per_block",
       [](UNetConfig& c) { c.transformer_layers_per_block = Ints{1}; }},
      {"cross_attention_dim", [](UNetConfig& c) { c.cross_attention_dim = Ints{}; }},
      {"in_channels", [](UNetConfig& c) { c.in_channels = 0; }},
      {"conv_in_kernel", [](UNetConfig& c) { c.conv_in_kernel = 2; }},
      {"conv_out_kernel", [](UNetConfig& c) { c.conv_out_kernel = 4; }},
      {"norm_num_groups", [](UNetConfig& c) { c.norm_num_groups.reset(); }},
      {"norm_num_groups", [](UNetConfig& c) { c.norm_num_groups = 0; }},
      {"norm_eps", [](UNetConfig& c) { c.norm_eps = 0.0; }},
      {"mid_block_scale_factor", [](UNetConfig& c) { c.mid_block_scale_factor = 0.0; }},
      {"downsample_padding", [](UNetConfig& c) { c.downsample_padding = 2; }},
      {"attention_head_dim",
       [](UNetConfig& c) {
         c.down_block_types[3] = "AttnDownBlock2D";
         c.attention_head_dim = Ints{8, 8, 8, 24};
         c.num_attention_heads = 8;
       }},
      {"num_class_embeds", [](UNetConfig& c) { c.num_class_embeds = 0; }},
  };
  for (const auto& [field, change] : changes) {
    UNetConfig config;
    change(config);
    INFO(field);
    try {
      config.validate();
      FAIL_CHECK("accepted");
    } catch (const ldm::Error& error) {
      CHECK(error.code() == ldm::ErrorCode::kModel);
      CHECK(error.message().find(field) != std::string::npos);
    }
  }
}
