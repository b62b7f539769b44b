#include "ldm/nn/embeddings.h"

#include <ATen/ops/tensor.h>

#include "ldm/core/error.h"
#include "tests/nn/blocks_golden.h"

namespace {

using ldm::test::blocks_golden;
using ldm::test::expect_close;
using ldm::test::expect_golden;
namespace nn = ldm::nn;

}  // namespace

TEST_CASE("timestep sinusoids equal diffusers', fractions included", "[golden]") {
  const auto& golden = blocks_golden();
  const at::Tensor t = golden.at("timesteps");
  expect_close(nn::get_timestep_embedding(t, 32, true, 0), golden.at("sinusoid_32_1_0"), 1e-6);
  expect_close(nn::get_timestep_embedding(t, 32, false, 1), golden.at("sinusoid_32_0_1"), 1e-6);
  expect_close(nn::get_timestep_embedding(t, 33, true, 0), golden.at("sinusoid_33_1_0"), 1e-6);
}

TEST_CASE("timesteps may be integers or doubles, the sinusoid is fp32") {
  const at::Tensor whole = at::tensor({981, 1}, at::kLong);
  const at::Tensor embedding = nn::get_timestep_embedding(whole, 8, true, 0);
  CHECK(embedding.scalar_type() == at::kFloat);
  CHECK(embedding.equal(nn::get_timestep_embedding(whole.to(at::kDouble), 8, true, 0)));
}

TEST_CASE("TimestepEmbedding computes what diffusers computes", "[golden]") {
  const at::Tensor temb = blocks_golden().at("temb");
  nn::TimestepEmbeddingOptions options;
  options.in_channels = 48;
  options.time_embed_dim = 32;
  expect_golden("timestep_embedding", nn::TimestepEmbedding(options), temb);
  CHECK_THROWS_AS(nn::TimestepEmbedding(options)->forward(temb, temb), ldm::Error);
  options.act_fn = "gelu";
  options.post_act_fn = "silu";
  options.cond_proj_dim = 12;
  expect_golden("timestep_embedding_condition", nn::TimestepEmbedding(options), temb,
                blocks_golden().at("condition"));
}
