#include "ldm/nn/circular.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/pad.h>
#include <c10/core/GradMode.h>

#include "ldm/nn/layers.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm::nn {

TEST_CASE("circular convolutions equal torch's, packed or not, one after the other") {
  const c10::AutoGradMode no_grad(false);
  for (const bool packed : {false, true}) {
    for (const std::int64_t stride : {1, 2}) {
      Conv2d conv(4, 6, 3, stride, 1);
      const at::Tensor weight = test::seeded_randn({6, 4, 3, 3}, 1);
      const at::Tensor bias = test::seeded_randn({6}, 2);
      conv->weight.set_data(weight.clone());
      conv->bias.set_data(bias);
      if (packed) conv->pack();
      const at::Tensor x = test::seeded_randn({2, 4, 8, 10}, 3);
      for (const CircularSides sides :
           {CircularSides{}, CircularSides{true, true}, CircularSides{true, false},
            CircularSides{false, true}, CircularSides{}}) {
        at::Tensor padded = x;
        if (sides.x) padded = at::pad(padded, {1, 1, 0, 0}, "circular");
        if (sides.y) padded = at::pad(padded, {0, 0, 1, 1}, "circular");
        const at::Tensor expected =
            at::conv2d(padded, weight, bias, {stride, stride}, {sides.y ? 0 : 1, sides.x ? 0 : 1});
        const CircularPadding edges(sides);
        test::expect_close(conv->forward(x), expected, 1e-5, "output");
      }
      CHECK_FALSE(CircularPadding::now().x);
    }
  }
}

}  // namespace ldm::nn
