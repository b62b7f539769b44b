#include "ldm/nn/activation.h"

#include <ATen/ops/tensor.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "tests/support/catch.h"

TEST_CASE("activations follow their formulas") {
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  const std::vector<std::pair<std::string, std::function<double(double)>>> formulas{
      {"silu", [&](double x) { return x * sigmoid(x); }},
      {"swish", [&](double x) { return x * sigmoid(x); }},
      {"gelu", [](double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }},
      {"quick_gelu", [&](double x) { return x * sigmoid(1.702 * x); }},
      {"mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {"relu", [](double x) { return x > 0.0 ? x : 0.0; }},
  };
  for (const auto& [name, formula] : formulas) {
    for (const double x : {-3.0, -0.5, 0.0, 0.7, 4.0}) {
      INFO(name << " of " << x);
      const double y = ldm::nn::get_activation(name)(at::tensor({x})).item<double>();
      CHECK(y == Approx(formula(x)).margin(1e-6));
    }
  }
}

TEST_CASE("an unknown activation is a model error that names it") {
  try {
    ldm::nn::get_activation("snake");
    FAIL("accepted");
  } catch (const ldm::Error& error) {
    CHECK(error.code() == ldm::ErrorCode::kModel);
    CHECK(error.message().find("snake") != std::string::npos);
  }
}
