#include "ldm/nn/vae_blocks.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "ldm/nn/diagonal_gaussian.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::nn::VaeBlockOptions;
using ldm::test::expect_close;
using ldm::test::Golden;

const VaeBlockOptions kOptions{4, "silu", 1e-6};

// Loads the golden block `name` into `block` and compares its output, also in channels_last.
template <class Block>
void check(const std::string& name, Block block) {
  const at::NoGradGuard no_grad;
  const Golden golden("vae_blocks");
  golden.load_into(*block, name + ".weights");
  const at::Tensor x = golden.at(name + ".x");
  expect_close(block->forward(x), golden.at(name + ".out"), 1e-5, name);
  const at::Tensor last = block->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(last.is_contiguous(at::MemoryFormat::ChannelsLast));
  expect_close(last, golden.at(name + ".out"), 1e-5, name + " channels_last");
}

}  // namespace

TEST_CASE("Autoencoder blocks equal diffusers'", "[golden]") {
  using ldm::nn::DownEncoderBlock2D;
  using ldm::nn::UpDecoderBlock2D;
  using ldm::nn::VaeMidBlock2D;
  SECTION("mid") { check("mid", VaeMidBlock2D(16, true, kOptions)); }
  SECTION("mid without attention") { check("mid_plain", VaeMidBlock2D(16, false, kOptions)); }
  SECTION("down") { check("down", DownEncoderBlock2D(8, 16, 2, false, true, kOptions)); }
  SECTION("last down") { check("down_last", DownEncoderBlock2D(8, 8, 1, false, false, kOptions)); }
  SECTION("down with attention") {
    check("down_attention", DownEncoderBlock2D(8, 16, 2, true, true, kOptions));
  }
  SECTION("up") { check("up", UpDecoderBlock2D(16, 8, 3, false, true, kOptions)); }
  SECTION("last up") { check("up_last", UpDecoderBlock2D(16, 8, 1, false, false, kOptions)); }
  SECTION("up with attention") {
    check("up_attention", UpDecoderBlock2D(16, 8, 2, true, true, kOptions));
  }
}

TEST_CASE("Attention over pixels equals diffusers'", "[golden]") {
  ldm::nn::AttentionOptions options;
  options.query_dim = 16;
  options.heads = 1;
  options.dim_head = 16;
  options.bias = true;
  options.norm_num_groups = 4;
  options.eps = 1e-6;
  options.residual_connection = true;
  check("attention", ldm::nn::Attention(options));
}

TEST_CASE("Attention over pixels runs in a fused kernel, without a matrix of all scores") {
  constexpr std::int64_t kMath = 0;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const std::int64_t width = GENERATE(128, 512);
  const at::Tensor tokens = at::zeros({1, 1, 64, width}, dtype);
  CHECK(at::_fused_sdp_choice(tokens, tokens, tokens) != kMath);
}

TEST_CASE("DiagonalGaussian splits, clamps and samples moments as diffusers", "[golden]") {
  const Golden golden("vae_blocks");
  const ldm::nn::DiagonalGaussian posterior(golden.at("gaussian.moments"));
  expect_close(posterior.mean, golden.at("gaussian.mean"), 0.0, "mean");
  expect_close(posterior.mode(), golden.at("gaussian.mean"), 0.0, "mode");
  expect_close(posterior.logvar, golden.at("gaussian.logvar"), 0.0, "logvar");
  expect_close(posterior.std, golden.at("gaussian.std"), 1e-5, "std");
  expect_close(posterior.kl(), golden.at("gaussian.kl"), 1e-5, "kl");
  CHECK(posterior.logvar.min().item<double>() == -30.0);
  CHECK(posterior.logvar.max().item<double>() == 20.0);

  const at::Tensor none = at::zeros(posterior.mean.sizes(), at::kDouble);
  CHECK(posterior.sample(none).scalar_type() == at::kFloat);
  CHECK(posterior.sample(none).equal(posterior.mean));
}
