#include "ldm/kernels/int8_linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;

std::vector<at::ScalarType> served_types() {
  return test::types_served([](at::ScalarType dtype) {
    return int8_serves(draw(1, {16, 16}, dtype));
  });
}

/// The numbers are whole until the last scaling: only the output's own rounding is left.
void expect_plain(const at::Tensor& y, const at::Tensor& reference) {
  const at::Tensor scale = reference.abs().max();
  test::expect_close(y.to(at::kFloat) / scale, reference / scale, test::tolerance(y.scalar_type()));
}

at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return int8_linear(x, int8_pack_linear(weight), weight.size(0), bias);
}

at::Tensor multiply_gated(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return int8_linear_gated(x, int8_pack_gated(weight), weight.size(0) / 2, bias);
}

at::Tensor gated_plainly(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto halves = int8_linear_plainly(x, weight, bias).chunk(2, -1);
  return halves[0] * at::gelu(halves[1]);
}

}  // namespace

TEST_CASE("products in 8 bits equal their definition over sizes and tails") {
  for (const at::ScalarType dtype : served_types()) {
    for (const auto& [in, out] : {std::pair{16L, 16L}, {48L, 80L}, {64L, 112L}, {320L, 160L}}) {
      const at::Tensor weight = draw(2, {out, in}, dtype);
      const at::Tensor bias = draw(3, {out}, dtype);
      for (const std::int64_t rows : {1L, 2L, 5L, 6L, 7L, 23L, 200L}) {
        CAPTURE(dtype, in, out, rows);
        const at::Tensor x = draw(4, {rows, in}, dtype);
        expect_plain(multiply(x, weight, bias), int8_linear_plainly(x, weight, bias));
        expect_plain(multiply(x, weight, {}), int8_linear_plainly(x, weight, {}));
      }
    }
  }
}

TEST_CASE("gated products in 8 bits equal their definition") {
  for (const at::ScalarType dtype : served_types()) {
    for (const auto& [in, out] : {std::pair{16L, 32L}, {64L, 96L}, {320L, 1280L}}) {
      const at::Tensor weight = draw(5, {2 * out, in}, dtype) * 0.2;
      const at::Tensor bias = draw(6, {2 * out}, dtype);
      REQUIRE(int8_gated_serves(weight));
      for (const std::int64_t rows : {1L, 9L, 64L}) {
        CAPTURE(dtype, in, out, rows);
        const at::Tensor x = draw(7, {2, rows, in}, dtype);
        const at::Tensor y = multiply_gated(x, weight, bias);
        CHECK(y.sizes() == at::IntArrayRef({2, rows, out}));
        expect_plain(y, gated_plainly(x, weight, bias));
      }
    }
  }
}

TEST_CASE("the gate's gelu holds from far left to far right") {
  for (const at::ScalarType dtype : served_types()) {
    // With one input of 127, the products are whole multiples of the weights' own values.
    const at::Tensor weight = at::zeros({64, 16}, dtype);
    weight.select(1, 0).fill_(1.0);
    const at::Tensor x = at::zeros({401, 16}, dtype);
    for (std::int64_t i = 0; i < 401; ++i) x[i][0] = static_cast<double>(i - 200) * 0.1;
    const at::Tensor y = multiply_gated(x, weight, {}).to(at::kFloat);
    const at::Tensor reference = gated_plainly(x, weight, {});
    const double relative = dtype == at::kFloat ? 2e-5 : 1e-2;
    CHECK(((y - reference).abs() <= relative * reference.abs() + 1e-5).all().item<bool>());
  }
}

TEST_CASE("8 bits are near the exact product") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(8, {320, 1280}, dtype);
    const at::Tensor x = draw(9, {50, 1280}, dtype);
    const at::Tensor exact = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
    const at::Tensor error = multiply(x, weight, {}).to(at::kDouble) - exact;
    CHECK((error.norm() / exact.norm()).item<double>() < 0.013);
  }
}

TEST_CASE("a row's product depends neither on the other rows nor on the threads") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(10, {192, 640}, dtype);
    const at::Tensor bias = draw(11, {192}, dtype);
    const at::Tensor x = draw(12, {2000, 640}, dtype);
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const at::Tensor y = multiply(x, weight, bias);
    at::set_num_threads(3);
    CHECK(y.equal(multiply(x, weight, bias)));
    at::set_num_threads(threads);
    for (const std::int64_t row : {0L, 777L, 1999L}) {
      CHECK(y.narrow(0, row, 1).equal(multiply(x.narrow(0, row, 1), weight, bias)));
    }
  }
}

TEST_CASE("products in 8 bits keep zeros, large numbers and non-finite ones in their rows") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(13, {32, 64}, dtype);
    const at::Tensor bias = draw(14, {32}, dtype);
    CHECK(multiply(at::zeros({3, 64}, dtype), weight, bias).equal(bias.expand({3, 32})));
    CHECK(multiply(draw(15, {3, 64}, dtype), at::zeros({32, 64}, dtype), bias)
              .equal(bias.expand({3, 32})));
    const at::Tensor large = draw(15, {3, 64}, dtype) * 1e30;
    expect_plain(multiply(large, weight, {}), int8_linear_plainly(large, weight, {}));
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      at::Tensor x = draw(16, {9, 64}, dtype);
      x[4][50] = bad;
      const at::Tensor finite = at::isfinite(multiply(x, weight, bias));
      CHECK_FALSE(finite[4].any().item<bool>());
      CHECK(finite.sum().item<std::int64_t>() == 8 * 32);
    }
  }
}

TEST_CASE("products in 8 bits read any strides and take empty inputs") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(17, {48, 32}, dtype);
    const at::Tensor x = draw(18, {2, 32, 5}, dtype).transpose(1, 2);
    CHECK(multiply(x, weight, {}).equal(multiply(x.contiguous(), weight, {})));
    CHECK(multiply(at::zeros({2, 0, 32}, dtype), weight, {}).sizes() ==
          at::IntArrayRef({2, 0, 48}));
  }
}

TEST_CASE("products in 8 bits are not offered where the kernels do not fit") {
  CHECK_FALSE(int8_serves(draw(19, {16, 24}, at::kFloat)));
  CHECK_FALSE(int8_serves(draw(19, {8, 16}, at::kFloat)));
  CHECK_FALSE(int8_serves(draw(19, {16, 16, 3, 3}, at::kFloat)));
  CHECK_FALSE(int8_serves(draw(19, {16, 16}, at::kDouble)));
  CHECK_FALSE(int8_serves(draw(19, {16}, at::kFloat)));
  CHECK_FALSE(int8_gated_serves(draw(19, {96, 16}, at::kFloat)));
}

}  // namespace ldm
