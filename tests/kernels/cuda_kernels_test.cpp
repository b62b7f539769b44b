#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include <cmath>
#include <limits>

#include "ldm/kernels/cuda_operators.h"
#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/cuda_on_cpu.h"
#include "tests/support/tensors.h"

#include "src/kernels/cuda/launches.cuh"

// The CUDA kernels' own code, run on the CPU. What only a GPU shows (launches, streams, speed) is
// left to the tests labelled gpu.
namespace ldm {
namespace {

using test::draw;

const LdmCudaKernels kOnCpu = {
    [](const LdmCudaGroupNorm* call) {
      cuda::launch_group_norm(*call, test::CpuLauncher());
      return 0;
    },
    [](const LdmCudaLayerNorm* call) {
      cuda::launch_layer_norm(*call, test::CpuLauncher());
      return 0;
    },
    [](const LdmCudaGate* call) {
      cuda::launch_gelu_gate(*call, test::CpuLauncher());
      return 0;
    },
    [](const LdmCudaSum* call) {
      cuda::launch_sum(*call, test::CpuLauncher());
      return 0;
    },
};

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  PendingSum alone{x};
  return cuda::layer_norm(kOnCpu, alone, weight, bias, 1e-5);
}

/// Fails unless `actual` is the fp64 `expected` with one rounding to its dtype, and fp32's in
/// between.
void expect_rounded(const at::Tensor& actual, const at::Tensor& expected) {
  const bool half = actual.scalar_type() == at::kHalf;
  const double unit = actual.scalar_type() == at::kFloat ? 0 : std::ldexp(1.0, half ? -11 : -8);
  const at::Tensor error = (actual.to(at::kDouble) - expected).abs();
  const at::Tensor scale = at::clamp_min(expected.abs(), expected.abs().mean().item<double>());
  CHECK((error / scale).amax().item<double>() <= unit + 1e-5);
}

}  // namespace

TEST_CASE("CUDA's GroupNorm with SiLU equals the reference over shapes, shifts and offsets") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const auto& [channels, groups] :
         {std::pair{8L, 2L}, {32L, 4L}, {320L, 32L}, {1920L, 32L}, {2560L, 32L}}) {
      for (const auto& [height, width] : {std::pair{1L, 1L}, {3L, 5L}, {24L, 33L}}) {
        if (channels > 1000 && height * width > 20) continue;  // a thread of the CPU for each
        CAPTURE(dtype, channels, height);
        const at::Tensor x = (draw(1, {2, channels, height, width}, at::kFloat) * 2 + 3)
                                 .to(dtype)
                                 .contiguous(at::MemoryFormat::ChannelsLast);
        const at::Tensor shift = draw(2, {2, channels}, dtype);
        const at::Tensor weight = draw(3, {channels}, dtype), bias = draw(4, {channels}, dtype);
        const auto reference = [&](const at::Tensor& input, bool silu) {
          const at::Tensor normal = at::group_norm(
              input.to(at::kDouble), groups, weight.to(at::kDouble), bias.to(at::kDouble), 1e-5);
          return silu ? at::silu(normal) : normal;
        };
        REQUIRE(cuda::serves_norm(x));
        const at::Tensor plain =
            cuda::group_norm_silu(kOnCpu, x, groups, weight, bias, 1e-5, false, {});
        CHECK(plain.is_contiguous(at::MemoryFormat::ChannelsLast));
        expect_rounded(plain, reference(x, false));
        const at::Tensor moved = x.to(at::kDouble) + shift.unsqueeze(-1).unsqueeze(-1);
        expect_rounded(
            cuda::group_norm_silu(kOnCpu, x, groups, weight, bias, 1e-5, true, {{}, shift}),
            reference(moved, true));
        // A layer's bias too, and a shift that is a part of wider rows.
        const at::Tensor before = draw(17, {channels}, dtype);
        const at::Tensor wide = at::cat({shift, shift, shift}, 1);
        expect_rounded(cuda::group_norm_silu(kOnCpu, x, groups, weight, bias, 1e-5, true,
                                             {before, wide.narrow(1, channels, channels)}),
                       reference(moved + before.unsqueeze(-1).unsqueeze(-1), true));
      }
    }
  }
}

TEST_CASE("CUDA's GroupNorm of a picture does not depend on the batch") {
  const at::Tensor x =
      draw(5, {3, 32, 17, 9}, at::kHalf).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor weight = draw(6, {32}, at::kHalf), bias = draw(7, {32}, at::kHalf);
  const at::Tensor all = cuda::group_norm_silu(kOnCpu, x, 8, weight, bias, 1e-5, true, {});
  for (std::int64_t k = 0; k < 3; ++k) {
    const at::Tensor one =
        cuda::group_norm_silu(kOnCpu, x.narrow(0, k, 1), 8, weight, bias, 1e-5, true, {});
    CHECK(one.equal(all.narrow(0, k, 1)));
  }
}

TEST_CASE("CUDA's GroupNorm bears extreme values and passes NaN on") {
  at::Tensor x = draw(8, {1, 32, 4, 4}, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor weight = draw(9, {32}, at::kFloat) * 200, bias = draw(10, {32}, at::kFloat);
  const auto norm = [&] {
    return cuda::group_norm_silu(kOnCpu, x, 4, weight, bias, 1e-5, true, {});
  };
  test::expect_close(norm(),
                     at::silu(at::group_norm(x.to(at::kDouble), 4, weight.to(at::kDouble),
                                             bias.to(at::kDouble), 1e-5))
                         .to(at::kFloat),
                     1e-5);
  x[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor bad = at::isnan(norm());
  CHECK(bad.narrow(1, 0, 8).all().item<bool>());
  CHECK_FALSE(bad.narrow(1, 8, 24).any().item<bool>());
}

TEST_CASE("CUDA's LayerNorm equals the reference over widths, rows and offsets") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const std::int64_t channels : {8, 40, 320, 1280}) {
      for (const std::int64_t rows : {1, 7, 50}) {
        CAPTURE(dtype, channels, rows);
        const at::Tensor x = (draw(11, {2, rows, channels}, at::kFloat) * 3 + 5).to(dtype);
        const at::Tensor weight = draw(12, {channels}, dtype), bias = draw(13, {channels}, dtype);
        const at::Tensor expected = at::layer_norm(
            x.to(at::kDouble), {channels}, weight.to(at::kDouble), bias.to(at::kDouble), 1e-5);
        REQUIRE(cuda::serves_norm(x));
        expect_rounded(layer_norm(x, weight, bias), expected);
      }
    }
  }
}

TEST_CASE("CUDA's LayerNorm of a sum leaves the sum") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    const at::Tensor weight = draw(19, {320}, dtype), bias = draw(20, {320}, dtype);
    const at::Tensor x = draw(21, {2, 9, 320}, dtype), addend = draw(22, {2, 9, 320}, dtype);
    const at::Tensor before = draw(23, {320}, dtype);
    for (const PendingSum& sum : {PendingSum{x.clone(), before}, PendingSum{x.clone(), {}, addend},
                                  PendingSum{x.clone(), before, addend}}) {
      CAPTURE(dtype, sum.bias.defined(), sum.addend.defined());
      at::Tensor total = x.to(at::kDouble);
      if (sum.bias.defined()) total = total + before;
      if (sum.addend.defined()) total = total + addend;
      PendingSum taken = sum;
      const at::Tensor norm = cuda::layer_norm(kOnCpu, taken, weight, bias, 1e-5);
      expect_rounded(taken.value, total);
      CHECK(taken.value.is_same(sum.value));
      CHECK_FALSE(taken.bias.defined());
      CHECK_FALSE(taken.addend.defined());
      // The norm is of the sum as it is left.
      CHECK(norm.equal(layer_norm(taken.value, weight, bias)));
    }
  }
}

TEST_CASE("CUDA's sum adds biases and addends in place, of tokens and of pictures") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    const at::Tensor bias = draw(24, {40}, dtype);
    const at::Tensor tokens = draw(25, {2, 33, 40}, dtype);
    const at::Tensor picture =
        draw(26, {2, 40, 5, 7}, dtype).contiguous(at::MemoryFormat::ChannelsLast);
    for (const at::Tensor& x : {tokens, picture}) {
      const at::Tensor addend = x.flip(0).contiguous(x.suggest_memory_format());
      const at::Tensor biased =
          x.to(at::kDouble) + (x.dim() == 4 ? bias.unsqueeze(-1).unsqueeze(-1) : bias);
      const auto check = [&](const PendingSum& sum, const at::Tensor& expected) {
        REQUIRE(cuda::serves_sum(sum));
        cuda::add(kOnCpu, sum);
        expect_rounded(sum.value, expected);
      };
      check({x.clone(), bias}, biased);
      check({x.clone(), {}, addend}, x.to(at::kDouble) + addend);
      check({x.clone(), bias, addend}, biased + addend);
    }
  }
}

TEST_CASE("CUDA's gate equals the reference over widths, rows and extreme values") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const auto& [rows, channels] : {std::pair{1L, 8L}, {33L, 40L}, {5L, 1280L}}) {
      CAPTURE(dtype, rows, channels);
      const at::Tensor x = (draw(14, {2, rows, 2 * channels}, at::kFloat) * 4).to(dtype);
      x[0][0][channels] = 200.0;
      x[0][0][channels + 1] = -200.0;
      const at::Tensor bias = draw(18, {2 * channels}, dtype);
      for (const PendingSum& sum : {PendingSum{x}, PendingSum{x, bias}}) {
        at::Tensor whole = x.to(at::kDouble);
        if (sum.bias.defined()) whole = whole + bias;
        const auto halves = whole.chunk(2, -1);
        REQUIRE(cuda::serves_gate(sum));
        const at::Tensor gated = cuda::gelu_gate(kOnCpu, sum);
        CHECK(gated.sizes() == at::IntArrayRef({2, rows, channels}));
        expect_rounded(gated, halves[0] * at::gelu(halves[1]));
      }
    }
  }
}

TEST_CASE("CUDA's LayerNorm and gate round to e4m3 where that is asked") {
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const std::int64_t channels : {16, 320, 1280}) {
      CAPTURE(dtype, channels);
      const at::Tensor x = draw(27, {2, 9, channels}, dtype);
      const at::Tensor weight = draw(28, {channels}, dtype), bias = draw(29, {channels}, dtype);
      weight[3] = 300.0;
      const at::Tensor before = draw(31, {channels}, dtype);
      for (const PendingSum& whole : {PendingSum{x.clone()}, PendingSum{x.clone(), before, x}}) {
        PendingSum sum = whole;
        const at::Tensor norm = cuda::layer_norm(kOnCpu, sum, weight, bias, 1e-5, /*e4m3=*/true);
        test::expect_e4m3(norm, at::layer_norm(sum.value.to(at::kDouble), {channels},
                                               weight.to(at::kDouble), bias.to(at::kDouble), 1e-5));
      }
      const at::Tensor wide = draw(30, {2, 9, 2 * channels}, dtype) * 20;
      const auto halves = wide.to(at::kDouble).chunk(2, -1);
      test::expect_e4m3(cuda::gelu_gate(kOnCpu, {wide}, /*e4m3=*/true),
                        halves[0] * at::gelu(halves[1]));
    }
  }
}

TEST_CASE("what CUDA's kernels do not serve is told") {
  CHECK_FALSE(cuda::serves_norm(draw(15, {2, 32, 4, 5}, at::kFloat)));  // not channels_last
  CHECK_FALSE(cuda::serves_norm(draw(15, {2, 17}, at::kFloat)));        // no whole vectors
  CHECK_FALSE(cuda::serves_norm(draw(15, {2, 12}, at::kHalf)));
  CHECK_FALSE(cuda::serves_norm(draw(15, {2, 32}, at::kDouble)));
  CHECK_FALSE(cuda::serves_norm(draw(15, {1, 8192}, at::kFloat)));    // more than a block's threads
  CHECK_FALSE(cuda::serves_norm(draw(15, {2, 1, 2568}, at::kHalf)));  // more than a warp holds
  CHECK_FALSE(cuda::serves_gate({draw(15, {2, 24}, at::kHalf)}));
  CHECK_FALSE(cuda::serves_gate({draw(15, {64, 4}, at::kFloat).t()}));
  const at::Tensor x =
      draw(15, {2, 8, 4, 4}, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  CHECK(cuda::serves_sum({x, {}, x}));
  CHECK_FALSE(cuda::serves_sum({x, {}, x.contiguous()}));  // another order in memory
  CHECK_FALSE(cuda::serves_sum({x, {}, x.to(at::kHalf)}));
  CHECK_FALSE(cuda::serves_sum({x, {}, x.narrow(0, 0, 1)}));
}

TEST_CASE("a kernel that fails is an error that names it") {
  LdmCudaKernels failing = kOnCpu;
  failing.layer_norm = [](const LdmCudaLayerNorm*) { return 700; };
  const at::Tensor x = draw(16, {4, 8}, at::kFloat);
  PendingSum alone{x};
  CHECK_THROWS_WITH(cuda::layer_norm(failing, alone, x[0], x[1], 1e-5),
                    Catch::Contains("LayerNorm on CUDA: error 700"));
}

}  // namespace ldm
