#include "ldm/kernels/fp8_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <limits>

#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;

const c10::Device kGpu(c10::DeviceType::CUDA, 0);

/// Whether there is a GPU that multiplies in e4m3, with the plugin's kernels.
bool has_fp8() {
  if (!test::has_gpu()) return false;
  if (fp8_serves(at::zeros({16, 16}, at::TensorOptions(at::kHalf).device(kGpu)))) return true;
  WARN("skipped: no products in e4m3");
  return false;
}

double relative(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor exact = expected.to(at::kCPU, at::kDouble);
  return ((actual.to(at::kCPU, at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

}  // namespace

TEST_CASE("numbers in e4m3 are the nearest, at most 448, and NaN stays") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor({0.0F, 1.0F, 1.06F, 1.07F, 17.0F, 447.0F, 1e6F, -kInf, 0.001F});
  const at::Tensor expected =
      at::tensor({0.0F, 1.0F, 1.0F, 1.125F, 16.0F, 448.0F, 448.0F, -448.0F, 0.001953125F});
  CHECK(fp8_of(x).to(at::kFloat).equal(expected));
  CHECK(at::isnan(fp8_of(at::tensor({kNan})).to(at::kFloat)).item<bool>());
  for (const at::ScalarType dtype : test::kGpuTypes) {
    const at::Tensor some = draw(1, {40, 320}, dtype).to(at::kFloat);
    const at::Tensor error = (fp8_of(some).to(at::kFloat) - some).abs();
    // Three bits of mantissa; below 2^-6 steps of 2^-9.
    CHECK((error <= some.abs() / 16 * 1.0001 + 1.0 / 1024).all().item<bool>());
  }
}

TEST_CASE("products in e4m3 are near the exact ones, whatever the weight's range") {
  for (const double range : {1e-4, 1.0, 1e3}) {
    const at::Tensor weight = draw(2, {320, 1280}, at::kFloat) * range;
    const at::Tensor x = draw(3, {2, 25, 1280}, at::kHalf);
    const Fp8Weight packed = fp8_pack_linear(weight);
    CHECK(packed.values.sizes() == at::IntArrayRef({320, 1280}));
    CHECK(packed.values.to(at::kFloat).abs().max().item<float>() == 448);
    const at::Tensor y = fp8_linear_plainly(fp8_of(x), packed);
    CHECK(y.sizes() == at::IntArrayRef({2, 25, 320}));
    CHECK(relative(y, at::linear(x.to(at::kDouble), weight.to(at::kDouble))) < 0.045);
  }
  CHECK(fp8_pack_linear(at::zeros({16, 16})).values.to(at::kFloat).eq(0).all().item<bool>());
}

TEST_CASE("products in e4m3 are not offered on a CPU") {
  CHECK_FALSE(fp8_serves(at::zeros({16, 16}, at::kHalf)));
}

TEST_CASE("on a GPU products in e4m3 equal their definition at the sizes of SD", "[gpu]") {
  if (!has_fp8()) return;
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    // What is left: the output's rounding, and the tensor cores' sums.
    const double bound = dtype == at::kHalf ? 2e-3 : 4e-3;
    for (const auto& [rows, in, out] : {std::array{8192L, 320L, 2560L},
                                        {8192L, 1280L, 320L},
                                        {2048L, 640L, 5120L},
                                        {2048L, 640L, 1920L},
                                        {512L, 1280L, 10240L},
                                        {512L, 5120L, 1280L},
                                        {77L, 1280L, 1280L},
                                        {1L, 320L, 960L},
                                        {513L, 336L, 1296L}}) {
      CAPTURE(dtype, rows, in, out);
      const at::Tensor x = draw(4, {1, rows, in}, dtype).to(kGpu);
      const at::Tensor weight = (draw(5, {out, in}, at::kFloat) / 30).to(kGpu, dtype);
      const Fp8Weight packed = fp8_pack_linear(weight);
      const at::Tensor rounded = fp8_of(x);
      const at::Tensor y = fp8_linear(rounded, packed, dtype);
      CHECK(y.scalar_type() == dtype);
      CHECK(y.sizes() == at::IntArrayRef({1, rows, out}));
      CHECK(relative(y, fp8_linear_plainly(rounded, packed)) < bound);
      CHECK(relative(y, at::linear(x.to(at::kFloat), weight.to(at::kFloat))) < 0.045);
      // Another batch may be cut into other sums, of the same products.
      const std::int64_t part = (rows + 1) / 2;
      CHECK(relative(fp8_linear(rounded.narrow(1, 0, part), packed, dtype), y.narrow(1, 0, part)) <
            bound);
    }
  }
}

TEST_CASE("on a GPU e4m3 serves whole steps of halves", "[gpu]") {
  if (!has_fp8()) return;
  const auto serves = [](at::IntArrayRef shape, at::ScalarType dtype) {
    return fp8_serves(at::zeros(shape, at::TensorOptions(dtype).device(kGpu)));
  };
  CHECK(serves({2560, 320}, at::kHalf));
  CHECK(serves({320, 5120}, at::kBFloat16));
  CHECK_FALSE(serves({2560, 320}, at::kFloat));
  CHECK_FALSE(serves({1288, 320}, at::kHalf));
  CHECK_FALSE(serves({320, 328}, at::kHalf));
}

}  // namespace ldm
