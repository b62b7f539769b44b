#include "ldm/nn/transformer_2d.h"

#include <ATen/ops/randn.h>

#include "tests/nn/blocks_golden.h"

namespace {

using ldm::test::blocks_golden;
using ldm::test::expect_golden;
namespace nn = ldm::nn;

nn::Transformer2DOptions small() {
  nn::Transformer2DOptions options;
  options.in_channels = 32;
  options.num_attention_heads = 4;
  options.attention_head_dim = 8;
  options.cross_attention_dim = 24;
  options.norm_num_groups = 8;
  return options;
}

}  // namespace

TEST_CASE("FeedForward computes what diffusers computes", "[golden]") {
  expect_golden("feed_forward", nn::FeedForward(32), blocks_golden().at("tokens"));
}

TEST_CASE("BasicTransformerBlock computes what diffusers computes", "[golden]") {
  const at::Tensor tokens = blocks_golden().at("tokens");
  const at::Tensor context = blocks_golden().at("context");
  auto options = small();
  expect_golden("transformer_block", nn::BasicTransformerBlock(options), tokens, context);
  options.only_cross_attention = true;
  expect_golden("transformer_block_only_cross", nn::BasicTransformerBlock(options), tokens,
                context);
}

TEST_CASE("Transformer2DModel computes what diffusers computes", "[golden]") {
  const at::Tensor x = blocks_golden().at("x32");
  const at::Tensor context = blocks_golden().at("context");
  auto options = small();
  options.num_layers = 2;
  expect_golden("transformer_conv", nn::Transformer2DModel(options), x, context);
  options.use_linear_projection = true;
  expect_golden("transformer_linear", nn::Transformer2DModel(options), x, context);
}

TEST_CASE("a bf16 Transformer2DModel stays near the fp32 result", "[golden]") {
  const auto& golden = blocks_golden();
  auto options = small();
  options.num_layers = 2;
  auto model = ldm::test::prepared("transformer_conv", nn::Transformer2DModel(options));
  model->to(at::kBFloat16);
  const at::Tensor output =
      model->forward(golden.at("x32").to(at::kBFloat16), golden.at("context").to(at::kBFloat16));
  CHECK(output.scalar_type() == at::kBFloat16);
  ldm::test::expect_close(output, golden.at("transformer_conv"), 4e-2);
}

TEST_CASE("a Transformer2DModel keeps channels_last") {
  for (const bool linear : {false, true}) {
    auto options = small();
    options.use_linear_projection = linear;
    nn::Transformer2DModel model(options);
    ldm::test::fill_reference_weights(*model);
    const at::Tensor x = at::randn({2, 32, 6, 4});
    const at::Tensor context = at::randn({2, 7, 24});
    const at::Tensor actual = model->forward(x.contiguous(at::MemoryFormat::ChannelsLast), context);
    CHECK(actual.is_contiguous(at::MemoryFormat::ChannelsLast));
    ldm::test::expect_close(actual, model->forward(x, context), 1e-5);
  }
}
