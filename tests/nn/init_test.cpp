#include "ldm/nn/init.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>

#include <cmath>

#include "ldm/nn/layers.h"
#include "ldm/nn/resnet.h"
#include "tests/support/catch.h"

using namespace ldm::nn;

TEST_CASE("initialize gives every parameter torch.nn's distribution and wants its gradient") {
  ResnetBlock2D block(ResnetBlock2DOptions{.in_channels = 32, .out_channels = 64});
  initialize(*block, 5);
  for (const auto& item : block->named_parameters()) {
    INFO(item.key());
    CHECK_FALSE(is_unallocated(item.value()));
    CHECK(item.value().requires_grad());
  }
  // A 1x1 convolution's placeholder has strides other than zero.
  CHECK(block->conv_shortcut->weight.storage().nbytes() >= 32 * 64 * sizeof(float));
  const double bound = 1.0 / std::sqrt(32 * 9);
  const at::Tensor weight = block->conv1->weight.detach();
  CHECK(weight.abs().max().item<double>() <= bound);
  CHECK(weight.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.02));
  CHECK(block->norm1->weight.detach().eq(1).all().item<bool>());
  CHECK(block->norm1->bias.detach().eq(0).all().item<bool>());
}

TEST_CASE("initialize depends on the seed and a parameter's name, and leaves values alone") {
  Linear first(8, 4), second(8, 4), other(8, 4);
  initialize(*first, 1);
  initialize(*second, 1);
  initialize(*other, 2);
  CHECK(at::equal(first->weight, second->weight));
  CHECK_FALSE(at::equal(first->weight, other->weight));
  initialize(*first, 9);
  CHECK(at::equal(first->weight, second->weight));
  zero(*first);
  CHECK(first->weight.detach().eq(0).all().item<bool>());
}
