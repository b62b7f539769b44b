#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "ldm/kernels/int8_linear.h"
#include "ldm/kernels/onednn.h"

// Linear layers of Stable Diffusion 1.5's transformer blocks at 512×512 with guidance: query, key
// and value, feed-forward in and out at each level. ARGS are rows, in, out.

namespace {

struct Case {
  Case(const benchmark::State& state, at::ScalarType dtype)
      : x(at::randn({state.range(0), state.range(1)}).to(dtype)),
        weight(at::randn({state.range(2), state.range(1)}).to(dtype)),
        bias(at::randn({state.range(2)}).to(dtype)) {}

  at::Tensor x, weight, bias;
};

void count(benchmark::State& state) {
  const double flops = 2.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["gflops"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void linear(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  at::Tensor packed;
  {
    const c10::InferenceMode ordinary(false);
    packed = ldm::onednn_pack_linear(with.weight);
  }
  for (auto _ : state) benchmark::DoNotOptimize(ldm::onednn_linear(with.x, packed, with.bias));
  count(state);
}

void linear_int8(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  if (!ldm::int8_serves(with.weight)) return state.SkipWithError("no kernel for this CPU");
  const at::Tensor packed = ldm::int8_pack_linear(with.weight);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ldm::int8_linear(with.x, packed, state.range(2), with.bias));
  }
  count(state);
}

void geglu(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  const auto biases = with.bias.chunk(2);
  at::Tensor value, gate;
  {
    const c10::InferenceMode ordinary(false);
    const auto halves = with.weight.chunk(2);
    value = ldm::onednn_pack_linear(halves[0]);
    gate = ldm::onednn_pack_linear(halves[1]);
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(ldm::onednn_linear_mul(
        with.x, value, biases[0], ldm::onednn_linear_gelu(with.x, gate, biases[1])));
  }
  count(state);
}

void geglu_int8(benchmark::State& state, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Case with(state, dtype);
  if (!ldm::int8_gated_serves(with.weight)) return state.SkipWithError("no kernel for this CPU");
  const at::Tensor packed = ldm::int8_pack_gated(with.weight);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ldm::int8_linear_gated(with.x, packed, state.range(2) / 2, with.bias));
  }
  count(state);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const auto& args : std::vector<std::vector<std::int64_t>>{{8192, 320, 320},
                                                                 {8192, 320, 960},
                                                                 {8192, 1280, 320},
                                                                 {2048, 640, 1920},
                                                                 {2048, 2560, 640},
                                                                 {512, 1280, 1280},
                                                                 {512, 1280, 3840},
                                                                 {512, 5120, 1280},
                                                                 {128, 1280, 3840}}) {
    bench->Args(args);
  }
  bench->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
}

void gated_shapes(benchmark::internal::Benchmark* bench) {
  bench->Args({8192, 320, 2560})->Args({2048, 640, 5120})->Args({512, 1280, 10240});
  bench->Args({128, 1280, 10240})->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
}

BENCHMARK_CAPTURE(linear, bf16, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(linear_int8, bf16, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(linear_int8, fp32, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(geglu, bf16, at::kBFloat16)->Apply(gated_shapes);
BENCHMARK_CAPTURE(geglu_int8, bf16, at::kBFloat16)->Apply(gated_shapes);

}  // namespace
