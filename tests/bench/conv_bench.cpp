#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "ldm/kernels/onednn.h"
#include "ldm/kernels/winograd.h"

// 3×3 convolutions of Stable Diffusion 1.5 at 512×512: the guided UNet's levels and the decoder's.
// ARGS are pictures, height (= width), in, out; `gflops` counts the direct products for both.

namespace {

struct Case {
  explicit Case(const benchmark::State& state, at::ScalarType dtype)
      : x(at::randn({state.range(0), state.range(2), state.range(1), state.range(1)})
              .to(dtype)
              .contiguous(at::MemoryFormat::ChannelsLast)),
        weight(at::randn({state.range(3), state.range(2), 3, 3}).to(dtype)),
        bias(at::randn({state.range(3)}).to(dtype)) {}

  at::Tensor x, weight, bias;
};

void count(benchmark::State& state) {
  const double flops = 18.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(1) *
                                                  state.range(2) * state.range(3));
  state.counters["gflops"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void winograd(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  const ldm::WinogradFilter filter = ldm::winograd_pack(with.weight);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ldm::winograd_conv2d(with.x, filter, with.bias));
  }
  count(state);
}

void direct(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  at::Tensor packed;
  {
    const c10::InferenceMode ordinary(false);
    packed = ldm::onednn_pack_conv2d(with.weight, 1, 1, with.x.sizes());
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(ldm::onednn_conv2d(with.x, packed, with.bias, 1, 1));
  }
  count(state);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const auto& args : std::vector<std::vector<std::int64_t>>{{2, 64, 320, 320},
                                                                 {2, 64, 960, 320},
                                                                 {2, 64, 640, 640},
                                                                 {2, 32, 640, 640},
                                                                 {2, 32, 1280, 1280},
                                                                 {2, 16, 1280, 1280},
                                                                 {2, 16, 2560, 1280},
                                                                 {2, 8, 1280, 1280},
                                                                 {1, 64, 512, 512},
                                                                 {1, 128, 512, 512},
                                                                 {1, 256, 512, 256},
                                                                 {1, 256, 256, 256},
                                                                 {1, 512, 128, 128}}) {
    bench->Args(args);
  }
  bench->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
}

BENCHMARK_CAPTURE(winograd, bf16, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(direct, bf16, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(winograd, fp32, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(direct, fp32, at::kFloat)->Apply(shapes);

}  // namespace
