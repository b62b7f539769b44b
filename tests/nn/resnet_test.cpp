#include "ldm/nn/resnet.h"

#include <ATen/ops/randn.h>

#include "ldm/core/error.h"
#include "tests/nn/blocks_golden.h"

namespace {

using ldm::test::blocks_golden;
using ldm::test::expect_golden;
namespace nn = ldm::nn;

nn::ResnetBlock2DOptions small() {
  nn::ResnetBlock2DOptions options;
  options.in_channels = 32;
  options.temb_channels = 48;
  options.groups = 8;
  return options;
}

}  // namespace

TEST_CASE("ResnetBlock2D computes what diffusers computes", "[golden]") {
  const at::Tensor x = blocks_golden().at("x32");
  const at::Tensor temb = blocks_golden().at("temb");
  auto options = small();
  SECTION("default") { expect_golden("resnet", nn::ResnetBlock2D(options), x, temb); }
  SECTION("other width") {
    options.out_channels = 64;
    expect_golden("resnet_shortcut", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("scale_shift") {
    options.time_embedding_norm = "scale_shift";
    expect_golden("resnet_scale_shift", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("skip_time_act") {
    options.skip_time_act = true;
    expect_golden("resnet_skip_time_act", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("output_scale_factor") {
    options.output_scale_factor = 1.5;
    expect_golden("resnet_output_scale", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("up") {
    options.up = true;
    expect_golden("resnet_up", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("down") {
    options.down = true;
    options.non_linearity = "gelu";
    expect_golden("resnet_down", nn::ResnetBlock2D(options), x, temb);
  }
  SECTION("no time embedding") {
    options.temb_channels = 0;
    expect_golden("resnet_no_temb", nn::ResnetBlock2D(options), x);
  }
}

TEST_CASE("ResnetBlock2D can be given its projected time embedding", "[golden]") {
  const auto& golden = blocks_golden();
  const auto block = ldm::test::prepared("resnet", nn::ResnetBlock2D(small()));
  const at::Tensor projected = block->project_temb(golden.at("temb"));
  CHECK(projected.sizes() == at::IntArrayRef({2, 32}));
  ldm::test::expect_close(block->forward_projected(golden.at("x32"), projected),
                          golden.at("resnet"), 1e-5);
}

TEST_CASE("a bf16 ResnetBlock2D stays near the fp32 result", "[golden]") {
  const auto& golden = blocks_golden();
  auto block = ldm::test::prepared("resnet", nn::ResnetBlock2D(small()));
  block->to(at::kBFloat16);
  const at::Tensor output =
      block->forward(golden.at("x32").to(at::kBFloat16), golden.at("temb").to(at::kBFloat16));
  CHECK(output.scalar_type() == at::kBFloat16);
  ldm::test::expect_close(output, golden.at("resnet"), 4e-2);
}

TEST_CASE("ResnetBlock2D refuses what it cannot compute") {
  auto options = small();
  nn::ResnetBlock2D block(options);
  ldm::test::fill_reference_weights(*block);
  CHECK_THROWS_AS(block->forward(at::randn({1, 32, 4, 4})), ldm::Error);
  options.time_embedding_norm = "spatial";
  CHECK_THROWS_AS(nn::ResnetBlock2D(options), ldm::Error);
}

TEST_CASE("Downsample2D and Upsample2D compute what diffusers computes", "[golden]") {
  const at::Tensor x = blocks_golden().at("x32");
  const at::Tensor odd = blocks_golden().at("x64");
  expect_golden("downsample", nn::Downsample2D(32, true, 16, 1), x);
  expect_golden("downsample_odd", nn::Downsample2D(64, true), odd);
  expect_golden("downsample_pad0", nn::Downsample2D(32, true, 0, 0), x);
  expect_golden("downsample_mean", nn::Downsample2D(32), x);
  expect_golden("upsample", nn::Upsample2D(32, true, 16), x);
  expect_golden("upsample_plain", nn::Upsample2D(32), x);
  expect_golden("upsample_size", nn::Upsample2D(32, true), x, at::IntArrayRef({15, 11}));
  CHECK_THROWS_AS(nn::Downsample2D(32, false, 16), ldm::Error);
}

TEST_CASE("a ResnetBlock2D keeps channels_last") {
  auto options = small();
  options.out_channels = 64;
  nn::ResnetBlock2D block(options);
  ldm::test::fill_reference_weights(*block);
  const at::Tensor x = at::randn({2, 32, 6, 4});
  const at::Tensor temb = at::randn({2, 48});
  const at::Tensor expected = block->forward(x, temb);
  const at::Tensor actual = block->forward(x.contiguous(at::MemoryFormat::ChannelsLast), temb);
  CHECK(actual.is_contiguous(at::MemoryFormat::ChannelsLast));
  ldm::test::expect_close(actual, expected, 1e-5);
}
