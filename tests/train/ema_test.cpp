#include "ldm/train/ema.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "tests/support/catch.h"

using namespace ldm::train;

TEST_CASE("averages follow parameters, quickly at first") {
  at::Tensor weight = at::full({2}, 1.0);
  Ema ema({{"w", weight}}, 0.99);
  double expected = 1.0;
  for (int n = 1; n <= 2000; ++n) {
    weight.add_(0.5);
    ema.update();
    const double decay = std::min(0.99, (1.0 + n) / (10.0 + n));
    expected = decay * expected + (1 - decay) * weight[0].item<double>();
  }
  CHECK(ema.averages().at("w")[0].item<double>() == Approx(expected).epsilon(1e-5));
  CHECK(ema.state("ema.").at("ema.updates").item<std::int64_t>() == 2000);
}

TEST_CASE("a scope puts the averages into the parameters and takes them out again") {
  at::Tensor weight = at::full({2}, 1.0);
  Ema ema({{"w", weight}}, 0.5);
  weight.fill_(3.0);
  {
    const EmaScope averaged(&ema);
    CHECK(weight[0].item<double>() == 1.0);
  }
  CHECK(weight[0].item<double>() == 3.0);
  CHECK(ema.averages().at("w")[0].item<double>() == 1.0);
  const EmaScope nothing(nullptr);
}
