#include "ldm/kernels/norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "ldm/kernels/cpu/isa.h"
#include "ldm/kernels/cpu/norm_kernel.h"
#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;
using test::tolerance;

std::vector<at::ScalarType> served_types() {
  return test::types_served([](at::ScalarType dtype) {
    return norm_serves(draw(1, {1, 32}, dtype));
  });
}

}  // namespace

TEST_CASE("GroupNorm with SiLU equals the reference over shapes, shifts and offsets") {
  for (const at::ScalarType dtype : served_types()) {
    for (const auto& [channels, groups] : {std::pair{32L, 32L}, {64L, 4L}, {320L, 32L}}) {
      for (const auto& [height, width] : {std::pair{1L, 1L}, {3L, 5L}, {32L, 33L}}) {
        for (const bool silu : {false, true}) {
          if (channels == groups && height * width == 1) continue;  // no spread at all
          CAPTURE(dtype, channels, height, silu);
          const at::Tensor x = (draw(1, {2, channels, height, width}, at::kFloat) * 2 + 3)
                                   .to(dtype)
                                   .contiguous(at::MemoryFormat::ChannelsLast);
          const at::Tensor shift = draw(2, {2, channels}, dtype);
          const at::Tensor weight = draw(3, {channels}, dtype), bias = draw(4, {channels}, dtype);
          REQUIRE(norm_serves(x));
          const auto reference = [&](const at::Tensor& input) {
            const at::Tensor normal = at::group_norm(
                input.to(at::kDouble), groups, weight.to(at::kDouble), bias.to(at::kDouble), 1e-5);
            return (silu ? at::silu(normal) : normal).to(at::kFloat);
          };
          const at::Tensor plain = group_norm_silu(x, groups, weight, bias, 1e-5, silu);
          CHECK(plain.is_contiguous(at::MemoryFormat::ChannelsLast));
          test::expect_close(plain.to(at::kFloat), reference(x), tolerance(dtype));
          const at::Tensor moved = x.to(at::kDouble) + shift.unsqueeze(-1).unsqueeze(-1);
          test::expect_close(
              group_norm_silu(x, groups, weight, bias, 1e-5, silu, {{}, shift}).to(at::kFloat),
              reference(moved), tolerance(dtype));
        }
      }
    }
  }
}

TEST_CASE("LayerNorm equals the reference over widths and offsets") {
  for (const at::ScalarType dtype : served_types()) {
    for (const std::int64_t channels : {16, 32, 320, 1280}) {
      for (const std::int64_t rows : {1, 7, 400}) {
        CAPTURE(dtype, channels, rows);
        const at::Tensor x = (draw(5, {2, rows, channels}, at::kFloat) * 3 + 5).to(dtype);
        const at::Tensor weight = draw(6, {channels}, dtype), bias = draw(7, {channels}, dtype);
        const at::Tensor expected =
            at::layer_norm(x.to(at::kDouble), {channels}, weight.to(at::kDouble),
                           bias.to(at::kDouble), 1e-5)
                .to(at::kFloat);
        test::expect_close(fast_layer_norm(x, weight, bias, 1e-5).to(at::kFloat), expected,
                           tolerance(dtype));
      }
    }
  }
}

TEST_CASE("SiLU of the norm bears extreme values and passes NaN on") {
  for (const at::ScalarType dtype : served_types()) {
    at::Tensor x = draw(8, {1, 32, 4, 4}, dtype).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor weight = draw(9, {32}, dtype) * 200, bias = draw(10, {32}, dtype);
    const at::Tensor expected =
        at::silu(at::group_norm(x.to(at::kDouble), 4, weight.to(at::kDouble), bias.to(at::kDouble),
                                1e-5))
            .to(at::kFloat);
    test::expect_close(group_norm_silu(x, 4, weight, bias, 1e-5, true).to(at::kFloat), expected,
                       tolerance(dtype));
    x[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor bad = at::isnan(group_norm_silu(x, 4, weight, bias, 1e-5, true));
    CHECK(bad.narrow(1, 0, 8).all().item<bool>());
    CHECK_FALSE(bad.narrow(1, 8, 24).any().item<bool>());
  }
}

TEST_CASE("what the kernels do not serve is told") {
  CHECK_FALSE(norm_serves(draw(11, {2, 32, 4, 5}, at::kFloat)));  // not channels_last
  CHECK_FALSE(norm_serves(draw(11, {2, 17}, at::kFloat)));        // no whole vectors
  CHECK_FALSE(norm_serves(draw(11, {2, 32}, at::kDouble)));
  CHECK_FALSE(norm_serves(draw(11, {32, 4}, at::kFloat).t()));  // rows apart
}

TEST_CASE("the AVX2 norms equal those of the widest vectors") {
  if (!cpu::has_avx2()) return;
  const cpu::NormKernel& kernel = cpu::norm_avx2();
  const at::Tensor x = draw(12, {50, 72}, at::kFloat), y = x.clone();
  const at::Tensor weight = draw(13, {72}, at::kFloat), bias = draw(14, {72}, at::kFloat);
  kernel.layer_norm(x.const_data_ptr(), weight.const_data_ptr<float>(),
                    bias.const_data_ptr<float>(), 1e-5F, 50, 72, y.mutable_data_ptr());
  test::expect_close(y, at::layer_norm(x, {72}, weight, bias, 1e-5), 1e-5);
  kernel.scale_and_shift(x.const_data_ptr(), weight.const_data_ptr<float>(),
                         bias.const_data_ptr<float>(), 50, 72, true, y.mutable_data_ptr());
  test::expect_close(y, at::silu(x * weight + bias), 1e-5);
  const at::Tensor sums = at::zeros({2, 72}, at::kFloat);
  kernel.moments(x.const_data_ptr(), weight.const_data_ptr<float>(), 50, 72,
                 sums[0].mutable_data_ptr<float>(), sums[1].mutable_data_ptr<float>());
  test::expect_close(sums[0], (x + weight).sum(0), 1e-5);
  test::expect_close(sums[1], (x + weight).square().sum(0), 1e-5);
}

}  // namespace ldm
