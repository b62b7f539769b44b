#include "ldm/train/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/train/draws.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace ldm::train;

TEST_CASE("AdamW follows the paper's update") {
  at::Tensor value = at::randn({3, 4}, draw_for(0, "value", 0));
  at::Tensor expected = value.clone();
  value.requires_grad_(true);
  const OptimizerConfig config{
      .learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.05};
  AdamW optimizer({{"w", value}}, config);
  at::Tensor average = at::zeros_like(expected), square = at::zeros_like(expected);
  for (int t = 1; t <= 5; ++t) {
    const at::Tensor gradient =
        at::randn({3, 4}, draw_for(0, "gradient", static_cast<unsigned>(t)));
    value.mutable_grad() = gradient.clone();
    const double factor = 1.0 / t;
    optimizer.step(factor);
    expected.mul_(1 - config.learning_rate * factor * config.weight_decay);
    average = config.beta1 * average + (1 - config.beta1) * gradient;
    square = config.beta2 * square + (1 - config.beta2) * gradient * gradient;
    const at::Tensor m = average / (1 - std::pow(config.beta1, t));
    const at::Tensor v = square / (1 - std::pow(config.beta2, t));
    expected -= config.learning_rate * factor * m / (v.sqrt() + config.epsilon);
    ldm::test::expect_close(value.detach(), expected, 1e-6, "after a step");
  }
  const TensorMap state = optimizer.state("optimizer.");
  CHECK(state.size() == 3);
  CHECK(state.at("optimizer.w.step").item<double>() == 5);
}

TEST_CASE("AdamW leaves a parameter without a gradient alone") {
  at::Tensor value = at::ones({2}).requires_grad_(true);
  AdamW optimizer({{"w", value}}, {.learning_rate = 0.5, .weight_decay = 0.5});
  optimizer.step(1.0);
  CHECK(value.detach().eq(1).all().item<bool>());
  CHECK(optimizer.state("").at("w.step").item<double>() == 0);
}

TEST_CASE("AdamW's fields have ranges") {
  CHECK_THROWS_AS((OptimizerConfig{.learning_rate = 0}).validate("x"), ldm::Error);
  CHECK_THROWS_AS((OptimizerConfig{.beta2 = 1}).validate("x"), ldm::Error);
  CHECK_NOTHROW(OptimizerConfig{}.validate("x"));
}
