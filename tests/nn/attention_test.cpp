#include "ldm/nn/attention.h"

#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/randn.h>

#include "tests/nn/blocks_golden.h"

namespace {

using ldm::test::blocks_golden;
using ldm::test::expect_golden;
namespace nn = ldm::nn;

nn::AttentionOptions self_attention(std::int64_t heads, std::int64_t dim_head) {
  nn::AttentionOptions options;
  options.query_dim = heads * dim_head;
  options.heads = heads;
  options.dim_head = dim_head;
  return options;
}

}  // namespace

TEST_CASE("Attention computes what diffusers computes", "[golden]") {
  const auto& golden = blocks_golden();
  const at::Tensor tokens = golden.at("tokens");
  SECTION("self") { expect_golden("attention_self", nn::Attention(self_attention(4, 8)), tokens); }
  SECTION("cross, inner width unlike the outer") {
    auto options = self_attention(2, 20);
    options.query_dim = 32;
    options.cross_attention_dim = 24;
    expect_golden("attention_cross", nn::Attention(options), tokens, golden.at("context"));
  }
  SECTION("image with norm, residual and rescaling") {
    auto options = self_attention(1, 32);
    options.bias = true;
    options.norm_num_groups = 8;
    options.eps = 1e-6;
    options.residual_connection = true;
    options.rescale_output_factor = 1.25;
    expect_golden("attention_image", nn::Attention(options), golden.at("x32"));
  }
  SECTION("tokens with norm") {
    auto options = self_attention(4, 8);
    options.bias = true;
    options.norm_num_groups = 8;
    expect_golden("attention_norm_tokens", nn::Attention(options), tokens);
  }
}

TEST_CASE("keys and values of a text can be computed once", "[golden]") {
  const auto& golden = blocks_golden();
  auto options = self_attention(2, 20);
  options.query_dim = 32;
  options.cross_attention_dim = 24;
  const auto attention = ldm::test::prepared("attention_cross", nn::Attention(options));
  const auto text = attention->project_key_value(golden.at("context"));
  CHECK(text.key.sizes() == at::IntArrayRef({2, 2, 7, 20}));
  ldm::test::expect_close(attention->attend(golden.at("tokens"), text),
                          golden.at("attention_cross"), 1e-5);
}

TEST_CASE("the CPU's flash attention serves every head size of Stable Diffusion") {
  constexpr std::int64_t kFlash = 1;  // at::SDPBackend::flash_attention
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t dim_head : {40, 64, 80, 160}) {
      for (const std::int64_t keys : {77, 96}) {
        INFO(dim_head << " channels a head, " << keys << " keys, " << dtype);
        // Laid out as Attention lays them out: [B, N, heads, dim_head] with two axes swapped.
        const auto options = at::TensorOptions().dtype(dtype);
        const at::Tensor q = at::randn({2, 96, 8, dim_head}, options).transpose(1, 2);
        const at::Tensor k = at::randn({2, keys, 8, dim_head}, options).transpose(1, 2);
        CHECK(at::_fused_sdp_choice(q, k, k) == kFlash);
      }
    }
  }
}

TEST_CASE("pixels become tokens and come back without a copy in channels_last") {
  const at::Tensor x = at::randn({2, 6, 3, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor tokens = nn::to_tokens(x);
  CHECK(tokens.sizes() == at::IntArrayRef({2, 15, 6}));
  CHECK(tokens.data_ptr() == x.data_ptr());
  const at::Tensor back = nn::from_tokens(tokens, x);
  CHECK(back.data_ptr() == x.data_ptr());
  CHECK(back.equal(x));

  const at::Tensor planar = x.contiguous();
  const at::Tensor planar_back = nn::from_tokens(nn::to_tokens(planar), planar);
  CHECK(planar_back.is_contiguous());
  CHECK(planar_back.equal(planar));
}
