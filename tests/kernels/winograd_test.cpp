#include "ldm/kernels/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/cpu/winograd_kernel.h"
#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;
using test::tolerance;

std::vector<at::ScalarType> served_types() {
  return test::types_served([](at::ScalarType dtype) {
    return winograd_serves(draw(1, {16, 16, 3, 3}, dtype));
  });
}

at::Tensor pictures(std::uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype) {
  return draw(seed, shape, dtype).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  std::optional<at::Tensor> added;
  if (bias.defined()) added = bias.to(at::kDouble);
  return at::conv2d(x.to(at::kDouble), weight.to(at::kDouble), added, {1, 1}, {1, 1})
      .to(at::kFloat);
}

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    const at::Tensor& addend = {}) {
  return winograd_conv2d(x, winograd_pack(weight), bias, addend);
}

}  // namespace

TEST_CASE("Winograd's convolution equals the reference over sizes, channels and tails") {
  for (const at::ScalarType dtype : served_types()) {
    for (const auto& [in, out] : {std::pair{16L, 16L}, {48L, 80L}, {64L, 128L}, {320L, 64L}}) {
      const at::Tensor weight = draw(2, {out, in, 3, 3}, dtype);
      const at::Tensor bias = draw(3, {out}, dtype);
      for (const auto& [height, width] :
           {std::pair{1L, 1L}, {2L, 2L}, {3L, 5L}, {8L, 8L}, {7L, 30L}, {33L, 18L}}) {
        CAPTURE(dtype, in, out, height, width);
        const at::Tensor x = pictures(4, {2, in, height, width}, dtype);
        const at::Tensor y = convolve(x, weight, bias);
        CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
        test::expect_close(y.to(at::kFloat), reference(x, weight, bias), tolerance(dtype));
        test::expect_close(convolve(x, weight, {}).to(at::kFloat), reference(x, weight, {}),
                           tolerance(dtype));
      }
    }
  }
}

TEST_CASE("Winograd's convolution adds a tensor in the same pass and reads any memory format") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(5, {32, 48, 3, 3}, dtype);
    const at::Tensor bias = draw(6, {32}, dtype);
    const at::Tensor x = draw(7, {2, 48, 9, 14}, dtype);
    const at::Tensor addend = draw(8, {2, 32, 9, 14}, dtype);
    const at::Tensor y = convolve(x, weight, bias, addend);
    test::expect_close(y.to(at::kFloat), reference(x, weight, bias) + addend.to(at::kFloat),
                       tolerance(dtype));
    const auto format = at::MemoryFormat::ChannelsLast;
    CHECK(y.equal(convolve(x.contiguous(format), weight, bias, addend.contiguous(format))));
  }
}

TEST_CASE("a picture convolved by Winograd depends neither on its batch nor on the threads") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(9, {64, 64, 3, 3}, dtype);
    const at::Tensor bias = draw(10, {64}, dtype);
    const at::Tensor x = pictures(11, {3, 64, 21, 26}, dtype);
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const at::Tensor y = convolve(x, weight, bias);
    at::set_num_threads(3);
    CHECK(y.equal(convolve(x, weight, bias)));
    at::set_num_threads(threads);
    for (std::int64_t i = 0; i < 3; ++i) {
      CHECK(y.narrow(0, i, 1).equal(convolve(x.narrow(0, i, 1), weight, bias)));
    }
  }
}

TEST_CASE("Winograd's convolution keeps zeros, large numbers and non-finite ones in their places") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(12, {16, 16, 3, 3}, dtype);
    const at::Tensor zeros = at::zeros({1, 16, 6, 6}, dtype);
    CHECK(convolve(zeros, weight, {}).equal(zeros));
    const at::Tensor large = pictures(13, {1, 16, 6, 6}, dtype) * 1e30;
    test::expect_close(convolve(large, weight, {}).to(at::kFloat) * 1e-30,
                       reference(large, weight, {}) * 1e-30, tolerance(dtype));
    at::Tensor x = pictures(14, {1, 16, 12, 12}, dtype);
    x[0][3][5][5] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor bad = at::isnan(convolve(x, weight, {})).any(1)[0];
    CHECK(bad.narrow(0, 4, 3).narrow(1, 4, 3).all().item<bool>());
    // A tile is computed as a whole: neighbours within two pixels may be lost as well.
    CHECK(bad.sum().item<std::int64_t>() <= 36);
  }
}

TEST_CASE("Winograd's convolution is not offered where its kernels do not fit") {
  CHECK_FALSE(winograd_serves(draw(15, {16, 3, 3, 3}, at::kFloat)));
  CHECK_FALSE(winograd_serves(draw(15, {4, 16, 3, 3}, at::kFloat)));
  CHECK_FALSE(winograd_serves(draw(15, {16, 16, 1, 1}, at::kFloat)));
  CHECK_FALSE(winograd_serves(draw(15, {16, 16, 3, 3}, at::kDouble)));
}

TEST_CASE("a large filter, transformed in each call, gives the same sums") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor weight = draw(20, {1296, 1008, 3, 3}, dtype);
    const WinogradFilter filter = winograd_pack(weight);
    CHECK_FALSE(filter.transformed);
    CHECK(filter.data.nbytes() == weight.nbytes());
    const at::Tensor bias = draw(21, {1296}, dtype);
    const at::Tensor x = pictures(22, {2, 1008, 6, 9}, dtype);
    const at::Tensor y = winograd_conv2d(x, filter, bias);
    test::expect_close(y.to(at::kFloat), reference(x, weight, bias), tolerance(dtype));
    const at::Tensor part = weight.narrow(0, 0, 128);
    CHECK(winograd_pack(part).transformed);
    CHECK(y.narrow(1, 0, 128).equal(convolve(x, part, bias.narrow(0, 0, 128))));
    CHECK(y.narrow(0, 1, 1).equal(winograd_conv2d(x.narrow(0, 1, 1), filter, bias)));
  }
}

TEST_CASE("the AVX2 Winograd kernel equals the reference") {
  if (!cpu::has_avx2()) return;
  const cpu::WinogradKernel& kernel = cpu::winograd_avx2();
  const cpu::WinogradShape shape{2, 5, 11, 40, 16};
  const at::Tensor x = pictures(16, {2, shape.in, shape.height, shape.width}, at::kFloat);
  const at::Tensor weight = draw(17, {shape.out, shape.in, 3, 3}, at::kFloat);
  const at::Tensor bias = draw(18, {shape.out}, at::kFloat);
  const at::Tensor taps = weight.permute({2, 3, 1, 0}).contiguous();
  const at::Tensor zeros = at::zeros({shape.in});
  std::vector<std::uint32_t> words(static_cast<std::size_t>(kernel.words(shape.in, shape.out)));
  kernel.transform(taps.const_data_ptr(), shape.in, shape.out, words.data());
  const at::Tensor y = at::empty_like(reference(x, weight, bias), at::MemoryFormat::ChannelsLast);
  const cpu::WinogradOutput output{bias.const_data_ptr<float>(), nullptr, y.mutable_data_ptr()};
  for (std::int64_t first = 0; first < shape.tiles(); first += 7) {
    const cpu::WinogradBlock block{first, std::min<std::int64_t>(7, shape.tiles() - first)};
    std::vector<std::byte> input(
        static_cast<std::size_t>(kernel.input_bytes(shape.in, block.tiles)));
    std::vector<std::byte> products(static_cast<std::size_t>(kernel.product_bytes(block.tiles)));
    kernel.gather(shape, x.const_data_ptr(), zeros.const_data_ptr(), block, {0, block.tiles},
                  input.data());
    kernel.multiply(shape, input.data(), words.data(), 0, block, {0, block.tiles}, output,
                    products.data());
  }
  test::expect_close(y, reference(x, weight, bias), tolerance(at::kFloat));
}

}  // namespace ldm
