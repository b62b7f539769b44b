#include "ldm/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <cmath>
#include <limits>

#include "tests/support/catch.h"

using namespace ldm::train;

namespace {

at::Tensor with_gradient(double value) {
  at::Tensor parameter = at::full({4}, 1.0).requires_grad_(true);
  parameter.mutable_grad() = at::full({4}, value);
  return parameter;
}

}  // namespace

TEST_CASE("gradients are clipped by their common norm") {
  const std::vector<at::Tensor> parameters = {with_gradient(3.0), with_gradient(4.0),
                                              at::full({2}, 1.0).requires_grad_(true)};
  const double norm = gradient_norm(parameters);
  CHECK(norm == Approx(10.0));
  clip_gradients(parameters, norm, 20.0);
  CHECK(parameters[0].grad()[0].item<double>() == 3.0);
  clip_gradients(parameters, norm, 5.0);
  CHECK(gradient_norm(parameters) == Approx(5.0));
  CHECK(parameters[1].grad()[0].item<double>() == Approx(2.0));
}

TEST_CASE("the loss scale halves at an overflow and doubles after many good steps") {
  LossScaler scaler(true);
  CHECK(scaler.value() == 65536.0);
  const std::vector<at::Tensor> overflown = {
      with_gradient(std::numeric_limits<double>::infinity())};
  CHECK_FALSE(std::isfinite(scaler.unscale(overflown)));
  scaler.update(false);
  CHECK(scaler.value() == 32768.0);
  const std::vector<at::Tensor> fine = {with_gradient(32768.0)};
  CHECK(std::isfinite(scaler.unscale(fine)));
  CHECK(fine[0].grad()[0].item<double>() == 1.0);
  for (int step = 0; step < 2000; ++step) scaler.update(true);
  CHECK(scaler.value() == 65536.0);
  CHECK(scaler.state("s.").size() == 2);
}

TEST_CASE("without scaling losses and gradients stay as they are") {
  LossScaler scaler(false);
  const std::vector<at::Tensor> parameters = {with_gradient(2.0)};
  CHECK(std::isfinite(scaler.unscale(parameters)));
  scaler.update(false);
  CHECK(scaler.value() == 1.0);
  CHECK(parameters[0].grad()[0].item<double>() == 2.0);
  CHECK(scaler.state("s.").empty());
}
