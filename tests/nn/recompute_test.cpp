#include "ldm/nn/recompute.h"

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>

#include "ldm/nn/resnet.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::nn::BlockForward;
using ldm::nn::ResnetBlock2D;
using ldm::test::seeded_randn;

void learn_all(torch::nn::Module& module) {
  ldm::test::fill_reference_weights(module);
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(true);
}

ResnetBlock2D make_block() {
  ldm::nn::ResnetBlock2DOptions options;
  options.in_channels = 8;
  options.out_channels = 16;
  options.temb_channels = 4;
  options.groups = 4;
  ResnetBlock2D block(options);
  learn_all(*block);
  return block;
}

BlockForward forward_of(const ResnetBlock2D& block) {
  return [&module = *block](at::TensorList in) {
    return std::vector<at::Tensor>{module.forward(in[0], in[1])};
  };
}

void clear_gradients(const torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.mutable_grad().reset();
}

/// The gradients of two inputs, then of a block's parameters.
std::vector<at::Tensor> block_gradients(const ResnetBlock2D& block, bool again) {
  clear_gradients(*block);
  const std::vector<at::Tensor> inputs = {seeded_randn({2, 8, 5, 6}, 1).requires_grad_(true),
                                          seeded_randn({2, 4}, 2).requires_grad_(true)};
  const BlockForward forward = forward_of(block);
  const at::Tensor output =
      (again ? ldm::nn::recompute(*block, forward, inputs) : forward(inputs)).front();
  (output * seeded_randn({2, 16, 5, 6}, 3)).sum().backward();
  std::vector<at::Tensor> gradients = {inputs[0].grad(), inputs[1].grad()};
  for (const at::Tensor& parameter : block->parameters()) gradients.push_back(parameter.grad());
  return gradients;
}

void set_autocast(bool enabled) {
  at::autocast::set_autocast_enabled(at::kCPU, enabled);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
}

}  // namespace

TEST_CASE("a recomputed block has the gradients of a plain one, bit for bit") {
  const ResnetBlock2D block = make_block();
  const std::vector<at::Tensor> plain = block_gradients(block, false);
  const std::vector<at::Tensor> again = block_gradients(block, true);
  REQUIRE(plain.size() == again.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    INFO(i);
    CHECK(plain[i].equal(again[i]));
  }
}

TEST_CASE("a block is recomputed under the autocast that it ran under") {
  const ResnetBlock2D block = make_block();
  const auto under_autocast = [&block](bool again) {
    clear_gradients(*block);
    const std::vector<at::Tensor> inputs = {seeded_randn({2, 8, 5, 6}, 1), seeded_randn({2, 4}, 2)};
    set_autocast(true);
    const BlockForward forward = forward_of(block);
    const at::Tensor output =
        (again ? ldm::nn::recompute(*block, forward, inputs) : forward(inputs)).front();
    set_autocast(false);
    at::autocast::clear_cache();
    CHECK(output.scalar_type() == at::kBFloat16);
    (output * seeded_randn({2, 16, 5, 6}, 3)).sum().backward();
    CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : block->parameters()) gradients.push_back(parameter.grad());
    return gradients;
  };
  const std::vector<at::Tensor> plain = under_autocast(false);
  const std::vector<at::Tensor> again = under_autocast(true);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    INFO(i);
    REQUIRE(again[i].defined());
    CHECK(plain[i].equal(again[i]));
  }
}

TEST_CASE("a block of frozen parameters passes gradients on, and none is wanted without any") {
  const ResnetBlock2D block = make_block();
  for (at::Tensor& parameter : block->parameters()) parameter.requires_grad_(false);
  const at::Tensor x = seeded_randn({1, 8, 4, 4}, 1);
  const at::Tensor temb = seeded_randn({1, 4}, 2);
  const BlockForward forward = forward_of(block);
  CHECK_FALSE(ldm::nn::recompute(*block, forward, {x, temb}).front().requires_grad());
  const at::Tensor leaf = x.clone().requires_grad_(true);
  ldm::nn::recompute(*block, forward, {leaf, temb}).front().sum().backward();
  CHECK(leaf.grad().defined());
  CHECK_FALSE(block->conv1->weight.grad().defined());
}
