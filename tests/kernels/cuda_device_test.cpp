#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include "ldm/kernels/cuda_operators.h"
#include "ldm/kernels/gate.h"
#include "ldm/kernels/norm.h"
#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

// The CUDA kernels on a GPU against ATen's in fp64 on the same GPU; without one there is nothing to
// test.
namespace ldm {
namespace {

using test::draw;

const c10::Device kGpu(c10::DeviceType::CUDA, 0);

/// A plugin built without nvcc has none.
bool has_kernels() { return test::has_gpu() && cuda::loaded_kernels() != nullptr; }

/// In standard deviations: ATen rounds to the dtype between operators, the kernels at the end.
double apart(at::ScalarType dtype) {
  if (dtype == at::kFloat) return 1e-5;
  return dtype == at::kHalf ? 2e-2 : 1e-1;
}

}  // namespace

TEST_CASE("on a GPU GroupNorm equals the reference at the sizes of SD", "[gpu]") {
  if (!has_kernels()) return;
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const auto& [channels, side] :
         {std::pair{320L, 64L}, {2560L, 8L}, {1920L, 16L}, {128L, 512L}}) {
      CAPTURE(dtype, channels, side);
      const at::Tensor x = (draw(1, {2, channels, side, side}, at::kFloat) * 2 + 3)
                               .to(kGpu, dtype)
                               .contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor shift = draw(2, {2, channels}, dtype).to(kGpu);
      const at::Tensor before = draw(9, {channels}, dtype).to(kGpu);
      const at::Tensor weight = draw(3, {channels}, dtype).to(kGpu);
      const at::Tensor bias = draw(4, {channels}, dtype).to(kGpu);
      REQUIRE(norm_serves(x));
      const at::Tensor moved =
          x.to(at::kDouble) + (shift.to(at::kDouble) + before).unsqueeze(-1).unsqueeze(-1);
      const at::Tensor expected =
          at::silu(at::group_norm(moved, 32, weight.to(at::kDouble), bias.to(at::kDouble), 1e-5));
      test::expect_close(group_norm_silu(x, 32, weight, bias, 1e-5, true, {before, shift})
                             .to(at::kCPU, at::kFloat),
                         expected.to(at::kCPU, at::kFloat), apart(dtype));
    }
  }
}

TEST_CASE("on a GPU LayerNorm, the gate and sums equal the reference at the sizes of SD", "[gpu]") {
  if (!has_kernels()) return;
  for (const at::ScalarType dtype : test::kGpuTypes) {
    for (const auto& [rows, channels] : {std::pair{4096L, 320L}, {1024L, 640L}, {77L, 1280L}}) {
      CAPTURE(dtype, rows, channels);
      const at::Tensor x = draw(5, {2, rows, channels}, dtype).to(kGpu);
      const at::Tensor addend = draw(10, {2, rows, channels}, dtype).to(kGpu);
      const at::Tensor weight = draw(6, {channels}, dtype).to(kGpu);
      const at::Tensor bias = draw(7, {channels}, dtype).to(kGpu);
      const at::Tensor before = draw(11, {channels}, dtype).to(kGpu);
      REQUIRE(norm_serves(x));
      REQUIRE(sum_serves(weight));
      const auto reference = [&](const at::Tensor& input) {
        return at::layer_norm(input.to(at::kDouble), {channels}, weight.to(at::kDouble),
                              bias.to(at::kDouble), 1e-5)
            .to(at::kCPU, at::kFloat);
      };
      test::expect_close(fast_layer_norm(x, weight, bias, 1e-5).to(at::kCPU, at::kFloat),
                         reference(x), apart(dtype));
      const at::Tensor total = x.to(at::kDouble) + before + addend;
      test::expect_close(take({x.clone(), before, addend}).to(at::kCPU, at::kFloat),
                         total.to(at::kCPU, at::kFloat), apart(dtype));
      PendingSum sum{x.clone(), before, addend};
      test::expect_close(layer_norm_of_sum(sum, weight, bias, 1e-5).to(at::kCPU, at::kFloat),
                         reference(total), apart(dtype));
      test::expect_close(sum.value.to(at::kCPU, at::kFloat), total.to(at::kCPU, at::kFloat),
                         apart(dtype));
      const at::Tensor wide = draw(8, {2, rows, 8 * channels}, dtype).to(kGpu);
      const at::Tensor wide_bias = draw(12, {8 * channels}, dtype).to(kGpu);
      const auto halves = (wide.to(at::kDouble) + wide_bias).chunk(2, -1);
      test::expect_close(gelu_gate({wide, wide_bias}).to(at::kCPU, at::kFloat),
                         (halves[0] * at::gelu(halves[1])).to(at::kCPU, at::kFloat), apart(dtype));
      PendingSum again{x.clone(), before, addend};
      const at::Tensor rounded = layer_norm_of_sum(again, weight, bias, 1e-5, /*e4m3=*/true);
      // The norm is of the sum as it is left.
      test::expect_e4m3(rounded, reference(again.value));
      test::expect_e4m3(gelu_gate({wide, wide_bias}, /*e4m3=*/true),
                        halves[0] * at::gelu(halves[1]));
    }
  }
}

}  // namespace ldm
