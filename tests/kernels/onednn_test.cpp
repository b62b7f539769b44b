#include "ldm/kernels/onednn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>

#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;
using test::tolerance;

std::vector<at::ScalarType> served_types() {
  std::vector<at::ScalarType> types = {at::kFloat};
  if (onednn_serves(draw(1, {1}, at::kBFloat16))) types.push_back(at::kBFloat16);
  return types;
}

}  // namespace

TEST_CASE("a packed linear layer equals at::linear over shapes and tails") {
  for (const at::ScalarType dtype : served_types()) {
    for (const std::int64_t rows : {1, 2, 77, 130}) {
      for (const auto& [in, out] : {std::pair{3L, 5L}, {40L, 64L}, {129L, 320L}}) {
        const at::Tensor x = draw(1, {2, rows, in}, dtype);
        const at::Tensor weight = draw(2, {out, in}, dtype);
        const at::Tensor bias = draw(3, {out}, dtype);
        const at::Tensor packed = onednn_pack_linear(weight);
        test::expect_close(onednn_linear(x, packed, bias), at::linear(x, weight, bias),
                           tolerance(dtype));
        test::expect_close(onednn_linear(x, packed, {}), at::linear(x, weight), tolerance(dtype));
        const at::Tensor other = draw(4, {2, rows, out}, dtype);
        test::expect_close(onednn_linear_add(x, packed, bias, other),
                           at::linear(x, weight, bias) + other, tolerance(dtype));
        // These round once, after the function: the reference rounds nowhere.
        const at::Tensor exact =
            at::linear(x.to(at::kFloat), weight.to(at::kFloat), bias.to(at::kFloat));
        test::expect_close(onednn_linear_mul(x, packed, bias, other).to(at::kFloat),
                           exact * other.to(at::kFloat), tolerance(dtype));
        test::expect_close(onednn_linear_gelu(x, packed, bias).to(at::kFloat), at::gelu(exact),
                           tolerance(dtype));
      }
    }
  }
}

TEST_CASE("a packed linear layer takes inputs of any strides") {
  const at::Tensor x = draw(1, {40, 2, 30}, at::kFloat).permute({1, 2, 0});
  const at::Tensor weight = draw(2, {16, 40}, at::kFloat);
  test::expect_close(onednn_linear(x, onednn_pack_linear(weight), {}), at::linear(x, weight), 1e-5);
}

TEST_CASE("a packed convolution equals at::conv2d over strides, paddings and sizes") {
  for (const at::ScalarType dtype : served_types()) {
    for (const std::int64_t kernel : {1, 3}) {
      for (const std::int64_t stride : {1, 2}) {
        const std::int64_t padding = kernel / 2;
        const at::Tensor weight = draw(2, {24, 9, kernel, kernel}, dtype);
        const at::Tensor bias = draw(3, {24}, dtype);
        const std::vector<std::int64_t> size = {2, 9, 8, 11};
        const at::Tensor packed = onednn_pack_conv2d(weight, stride, padding, size);
        CHECK(at::equal(onednn_unpack(packed), weight));
        for (const std::int64_t side : {1, 8, 13}) {
          const at::Tensor x =
              draw(1, {2, 9, side, side + 3}, dtype).contiguous(at::MemoryFormat::ChannelsLast);
          const at::Tensor expected =
              at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
          test::expect_close(onednn_conv2d(x, packed, bias, stride, padding), expected,
                             tolerance(dtype));
        }
      }
    }
  }
}

}  // namespace ldm
