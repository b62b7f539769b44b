#include "ldm/nn/unet_2d_blocks.h"

#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/nn/blocks_golden.h"

namespace {

using ldm::nn::BlockAttention;
using ldm::test::blocks_golden;
using ldm::test::expect_golden;
namespace nn = ldm::nn;

nn::UNetBlockOptions small(BlockAttention attention) {
  nn::UNetBlockOptions options;
  options.in_channels = 32;
  options.out_channels = 64;
  options.prev_output_channel = 64;
  options.temb_channels = 48;
  options.num_layers = 2;
  options.add_sampler = true;
  options.resnet_groups = 8;
  options.attention = attention;
  options.attention_head_dim = 16;
  options.num_attention_heads = 4;
  options.cross_attention_dim = 24;
  return options;
}

nn::UNetBlockOptions small_mid(BlockAttention attention) {
  auto options = small(attention);
  options.in_channels = 64;
  options.num_layers = 1;
  options.output_scale_factor = 1.5;
  return options;
}

void expect_down(const std::string& name, const nn::UNetBlockOptions& options) {
  INFO(name);
  const auto& golden = blocks_golden();
  const auto block = ldm::test::prepared(name, nn::DownBlock2D(options));
  const std::vector<at::Tensor> outputs =
      block->forward(golden.at("x32"), golden.at("temb"), golden.at("context"));
  CHECK_FALSE(golden.has(name + "." + std::to_string(outputs.size())));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    ldm::test::expect_close(outputs[i], golden.at(name + "." + std::to_string(i)), 1e-5, name);
  }
}

}  // namespace

TEST_CASE("down blocks compute what diffusers' compute", "[golden]") {
  auto plain = small(BlockAttention::kNone);
  expect_down("down", plain);
  plain.add_sampler = false;
  expect_down("down_last", plain);
  expect_down("down_attn", small(BlockAttention::kSelf));
  auto cross = small(BlockAttention::kCross);
  cross.transformer_layers = 2;
  cross.downsample_padding = 0;
  expect_down("down_cross", cross);
}

TEST_CASE("mid blocks compute what diffusers' compute", "[golden]") {
  const auto& golden = blocks_golden();
  const at::Tensor x = golden.at("x64");
  const at::Tensor temb = golden.at("temb");
  auto plain = small_mid(BlockAttention::kNone);
  plain.num_layers = 0;
  expect_golden("mid", nn::UNetMidBlock2D(plain), x, temb);
  auto self = small_mid(BlockAttention::kSelf);
  expect_golden("mid_attn", nn::UNetMidBlock2D(self), x, temb);
  self.attention_head_dim = 64;
  self.resnet_time_scale_shift = "scale_shift";
  expect_golden("mid_attn_no_norm", nn::UNetMidBlock2D(self), x, temb);
  auto cross = small_mid(BlockAttention::kCross);
  cross.use_linear_projection = true;
  expect_golden("mid_cross", nn::UNetMidBlock2D(cross), x, temb, golden.at("context"));
}

TEST_CASE("up blocks compute what diffusers' compute", "[golden]") {
  const auto& golden = blocks_golden();
  const at::Tensor x = golden.at("x64");
  const at::Tensor temb = golden.at("temb");
  const std::vector<at::Tensor> skips{golden.at("skip32"), golden.at("skip64")};
  expect_golden("up", nn::UpBlock2D(small(BlockAttention::kNone)), x, skips, temb, at::Tensor(),
                at::IntArrayRef({9, 13}));
  expect_golden("up_attn", nn::UpBlock2D(small(BlockAttention::kSelf)), x, skips, temb);
  auto cross = small(BlockAttention::kCross);
  cross.only_cross_attention = true;
  expect_golden("up_cross", nn::UpBlock2D(cross), x, skips, temb, golden.at("context"));
}

TEST_CASE("an up block refuses the wrong number of skip connections") {
  const nn::UpBlock2D block(small(BlockAttention::kNone));
  const std::vector<at::Tensor> one{at::empty({1, 64, 4, 4})};
  CHECK_THROWS_AS(block->forward(one[0], one, at::empty({1, 48})), ldm::Error);
}
