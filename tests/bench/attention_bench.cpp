#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "ldm/kernels/attention.h"

// Attention at the shapes of Stable Diffusion 1.5 (dim 40, 80, 160) and 2.1 (64), guided; ARGS are
// queries, keys, heads, dim. `gflops` counts both products.

namespace {

using Attend = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&);

at::Tensor ours(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return ldm::attention(q, k, v);
}

at::Tensor reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::scaled_dot_product_attention(q, k, v);
}

void run(benchmark::State& state, Attend attend, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  constexpr std::int64_t kBatch = 2;
  const std::int64_t n = state.range(0), s = state.range(1), heads = state.range(2),
                     dim = state.range(3);
  const at::Tensor q = at::randn({kBatch, n, heads, dim}).to(dtype).transpose(1, 2);
  const at::Tensor k = at::randn({kBatch, s, heads, dim}).to(dtype).transpose(1, 2);
  const at::Tensor v = at::randn({kBatch, s, heads, dim}).to(dtype).transpose(1, 2);
  for (auto _ : state) benchmark::DoNotOptimize(attend(q, k, v));
  const double flops = 4.0 * static_cast<double>(kBatch * heads * n * s * dim);
  state.counters["gflops"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const auto& args : std::vector<std::vector<std::int64_t>>{{4096, 4096, 2, 40},
                                                                 {1024, 1024, 8, 80},
                                                                 {256, 256, 8, 160},
                                                                 {4096, 4096, 2, 64},
                                                                 {4096, 77, 8, 40},
                                                                 {1024, 77, 8, 80}}) {
    bench->Args(args);
  }
  bench->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(run, ours_bf16, ours, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(run, aten_bf16, reference, at::kBFloat16)->Apply(shapes);
BENCHMARK_CAPTURE(run, ours_fp32, ours, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(run, aten_fp32, reference, at::kFloat)->Apply(shapes);

}  // namespace
