#include "ldm/core/brownian.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>

#include <cmath>

#include "tests/support/catch.h"

namespace ldm {
namespace {

const std::vector<std::int64_t> kShape = {4, 64, 64};

TEST_CASE("a Brownian path's increments are unit normal over any two levels") {
  BrownianPath path(7, kShape);
  for (const auto& [from, to] : std::vector<std::pair<double, double>>{
           {14.6, 12.1}, {14.6, 0.03}, {4096, 3000}, {0.5, 0}, {1, 0.5}, {0.031, 0.0292}}) {
    INFO(from << " " << to);
    const at::Tensor increment = path.increment(from, to);
    CHECK(std::abs(increment.mean().item<float>()) < 0.04);
    CHECK(increment.std().item<float>() == Approx(1).epsilon(0.03));
  }
  CHECK(path.increment(2, 2).abs().max().item<float>() == 0);
}

TEST_CASE("increments over two halves of an interval add up to that over the whole") {
  BrownianPath path(3, kShape);
  for (const double middle : {13.0, 8.0, 1.1, 0.2}) {
    const at::Tensor whole = path.increment(14.6, 0.1) * std::sqrt(14.6 - 0.1);
    const at::Tensor parts = path.increment(14.6, middle) * std::sqrt(14.6 - middle) +
                             path.increment(middle, 0.1) * std::sqrt(middle - 0.1);
    CHECK(at::allclose(whole, parts, 1e-4, 1e-4));
  }
}

TEST_CASE("neighbouring increments have nothing to do with each other") {
  BrownianPath path(11, kShape);
  for (const double step : {2.0, 0.5, 0.1}) {
    const at::Tensor a = path.increment(9.0, 9.0 - step);
    const at::Tensor b = path.increment(9.0 - step, 9.0 - 2 * step);
    CHECK(std::abs((a * b).mean().item<float>()) < 0.04);
  }
}

TEST_CASE("an increment depends on the seed and its two levels alone") {
  BrownianPath one(5, kShape);
  BrownianPath other(5, kShape);
  other.increment(14, 3);
  other.increment(3, 0.7);
  CHECK(at::equal(one.increment(6, 2), other.increment(6, 2)));
  CHECK_FALSE(at::allclose(one.increment(6, 2), BrownianPath(6, kShape).increment(6, 2)));
}

}  // namespace
}  // namespace ldm
