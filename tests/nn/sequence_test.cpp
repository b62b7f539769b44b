#include "ldm/nn/sequence.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "ldm/nn/layers.h"
#include "tests/support/catch.h"

TEST_CASE("Sequence runs its steps in order and names modules by their place") {
  const at::NoGradGuard no_grad;
  ldm::nn::Sequence sequence;
  CHECK(sequence.forward(at::full({1}, 5.0)).item<double>() == 5.0);
  sequence.append_function([](const at::Tensor& x) { return x + 1; });
  ldm::nn::Linear linear(1, 1, false);
  linear->weight.set_data(at::full({1, 1}, 10.0));
  sequence.append(linear);
  sequence.append_function([](const at::Tensor& x) { return x - 3; });
  CHECK(sequence.size() == 3);
  CHECK(sequence.forward(at::full({1}, 5.0f)).item<double>() == 57.0);
  CHECK(sequence.named_parameters().keys() == std::vector<std::string>{"1.weight"});
}
