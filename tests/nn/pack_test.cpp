#include "ldm/nn/pack.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include "ldm/core/random.h"
#include "ldm/nn/layers.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm::nn {
namespace {

void fill(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(3);
  for (at::Tensor& parameter : module.parameters()) {
    parameter.set_data(random.randn(parameter.sizes()));
  }
}

}  // namespace

TEST_CASE("unallocated parameters have a shape and next to no memory") {
  const Linear layer(4096, 4096);
  CHECK(is_unallocated(layer->weight));
  CHECK(layer->weight.sizes() == at::IntArrayRef({4096, 4096}));
  CHECK(layer->weight.storage().nbytes() <= 64);
}

TEST_CASE("packing keeps the output, lets the plain weight go, and can be undone") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(4);
  Linear linear(33, 65);
  Conv2d conv(7, 12, 3, 2, 1);
  fill(*linear);
  fill(*conv);
  const at::Tensor x = random.randn({2, 9, 33});
  const at::Tensor image = random.randn({2, 7, 10, 11}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor plain_linear = linear->forward(x);
  const at::Tensor plain_conv = conv->forward(image);
  pack_for_inference(*linear);
  pack_for_inference(*conv);
  CHECK(is_unallocated(linear->weight));
  test::expect_close(linear->forward(x), plain_linear, 1e-5);
  test::expect_close(conv->forward(image), plain_conv, 1e-5);
  CHECK(is_unallocated(conv->weight));
  test::expect_close(conv->forward(image.narrow(2, 0, 6)), plain_conv.narrow(2, 0, 3), 1e-5);
  test::expect_close(conv->forward(image), plain_conv, 1e-5);
  unpack(*linear);
  fill(*linear);
  test::expect_close(linear->forward(x), plain_linear, 1e-5);
}

}  // namespace ldm::nn
