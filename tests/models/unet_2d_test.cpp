#include "ldm/models/unet_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include <map>
#include <string>

#include "ldm/core/error.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::UNet2DConfig;
using ldm::models::UNet2DModel;
using ldm::test::expect_close;
using ldm::test::Golden;

using Ints = std::vector<std::int64_t>;

UNet2DConfig tiny() {
  UNet2DConfig c;
  c.block_out_channels = {16, 32, 32};
  c.down_block_types = {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  c.up_block_types = {"AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
  c.layers_per_block = 1;
  c.norm_num_groups = 4;
  c.attention_head_dim = 8;
  return c;
}

UNet2DConfig with_resnet_samplers() {
  UNet2DConfig c = tiny();
  c.down_block_types = {"AttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D"};
  c.up_block_types = {"ResnetUpsampleBlock2D", "AttnUpBlock2D", "AttnUpBlock2D"};
  c.downsample_type = "resnet";
  c.upsample_type = "resnet";
  c.resnet_time_scale_shift = "scale_shift";
  return c;
}

/// CASES of scripts/goldens/unet2d.py.
std::map<std::string, UNet2DConfig> cases() {
  std::map<std::string, UNet2DConfig> all;
  const auto add = [&](const std::string& name) -> UNet2DConfig& {
    return all.emplace(name, tiny()).first->second;
  };
  add("celeba").layers_per_block = 2;
  UNet2DConfig& churches = all.emplace("churches", with_resnet_samplers()).first->second;
  churches.in_channels = 4;
  churches.out_channels = 4;
  churches.attn_norm_num_groups = 8;
  churches.attention_head_dim = Ints{4, 8, 8};
  all.emplace("scale_shift", with_resnet_samplers());
  UNet2DConfig& resnets = add("resnet_blocks");
  resnets.down_block_types = {"ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D"};
  resnets.up_block_types = {"UpBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"};
  resnets.add_attention = false;
  resnets.out_channels = 6;
  UNet2DConfig& one_head = add("one_head");
  one_head.attention_head_dim.reset();
  one_head.downsample_padding = 0;
  add("classes").num_class_embeds = 11;
  add("class_timestep").class_embed_type = "timestep";
  UNet2DConfig& other = add("other_fields");
  other.mid_block_scale_factor = 2.0;
  other.act_fn = "gelu";
  other.center_input_sample = true;
  other.flip_sin_to_cos = false;
  other.freq_shift = 1;
  other.norm_eps = 1e-3;
  other.time_embedding_dim = 40;
  add("no_mid_block").mid_block_type.reset();
  return all;
}

UNet2DModel prepared(const UNet2DConfig& config) {
  UNet2DModel model(config);
  ldm::test::fill_reference_weights(*model);
  return model;
}

}  // namespace

TEST_CASE("UNet2DModel computes what diffusers' computes", "[golden]") {
  const Golden golden("unet2d");
  for (const auto& [name, config] : cases()) {
    const UNet2DModel model = prepared(config);
    INFO(name << "\n" << ldm::test::listing(*model));
    CHECK(ldm::test::listing_hash(*model) == golden.metadata.at(name + ".listing"));
    const at::Tensor sample = golden.at("sample_" + std::to_string(config.in_channels));
    const bool classes = config.num_class_embeds || config.class_embed_type;
    for (const std::string timestep : {"timestep", "timesteps"}) {
      const std::string key = name + "." + timestep;
      const at::Tensor output = model->denoise(sample, golden.at(timestep), {},
                                               classes ? golden.at("class_labels") : at::Tensor());
      expect_close(output, golden.at(key), 1e-5, key);
    }
  }
}

TEST_CASE("UNet2DModel keeps channels_last and computes the same", "[golden]") {
  const Golden golden("unet2d");
  UNet2DModel model = prepared(cases().at("scale_shift"));
  for (at::Tensor& parameter : model->parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  const at::Tensor sample = golden.at("sample_3").contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor output = model->forward(sample, golden.at("timestep"));
  CHECK(output.is_contiguous(at::MemoryFormat::ChannelsLast));
  expect_close(output, golden.at("scale_shift.timestep"), 1e-5);
  model->to(at::kBFloat16);
  CHECK(model->forward(sample, golden.at("timestep")).scalar_type() == at::kBFloat16);
}

TEST_CASE("UNet2DModel with convolutions takes any size") {
  const at::Tensor odd = at::randn({1, 3, 7, 9});
  CHECK(prepared(tiny())->forward(odd, at::full({}, 3.0)).sizes() == odd.sizes());
}

TEST_CASE("UNet2DModel refuses wrong inputs") {
  const at::Tensor timestep = at::full({}, 1.0);
  const UNet2DModel model = prepared(tiny());
  CHECK_THROWS_AS(model->forward(at::randn({1, 4, 8, 8}), timestep), ldm::Error);
  CHECK_THROWS_AS(model->forward(at::randn({3, 8, 8}), timestep), ldm::Error);
  const UNet2DModel resnets = prepared(with_resnet_samplers());
  CHECK_THROWS_AS(resnets->forward(at::randn({1, 3, 6, 8}), timestep), ldm::Error);
  const UNet2DModel with_classes = prepared(cases().at("classes"));
  CHECK_THROWS_AS(with_classes->forward(at::randn({1, 3, 8, 8}), timestep), ldm::Error);
}

TEST_CASE("UNet2DModel says what a pipeline needs") {
  UNet2DConfig config = cases().at("classes");
  config.sample_size = 64;
  const ldm::models::DenoiserShape shape = UNet2DModel(config)->shape();
  CHECK(shape.in_channels == 3);
  CHECK(shape.sample_size == 64);
  CHECK(shape.context_dim == 0);
  CHECK(shape.num_classes == 11);
  CHECK(shape.block_out_channels == config.block_out_channels);
}

TEST_CASE("UNet2DConfig refuses what cannot be built") {
  const auto refused = [](auto change) {
    UNet2DConfig config = tiny();
    change(config);
    CHECK_THROWS_AS(config.validate(), ldm::Error);
    CHECK_THROWS_AS(UNet2DModel(config), ldm::Error);
  };
  CHECK_NOTHROW(UNet2DConfig{}.validate());
  refused([](UNet2DConfig& c) { c.time_embedding_type = "fourier"; });
  refused([](UNet2DConfig& c) { c.class_embed_type = "identity"; });
  refused([](UNet2DConfig& c) { c.down_block_types[1] = "SkipDownBlock2D"; });
  refused([](UNet2DConfig& c) { c.up_block_types.pop_back(); });
  refused([](UNet2DConfig& c) { c.block_out_channels.clear(); });
  refused([](UNet2DConfig& c) { c.block_out_channels = {16, 32, 34}; });
  refused([](UNet2DConfig& c) { c.attention_head_dim = 5; });
  refused([](UNet2DConfig& c) { c.attention_head_dim = Ints{8, 8}; });
  refused([](UNet2DConfig& c) { c.attn_norm_num_groups = 5; });
  refused([](UNet2DConfig& c) { c.resnet_time_scale_shift = "ada_group"; });
  refused([](UNet2DConfig& c) { c.downsample_type = "fir"; });
  refused([](UNet2DConfig& c) { c.norm_eps = 0.0; });
  refused([](UNet2DConfig& c) { c.layers_per_block = 0; });
}
