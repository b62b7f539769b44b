#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "ldm/kernels/norm.h"

// GroupNorm with SiLU and LayerNorm at the sizes of SD1.5's first level. Instructions a number, by
// callgrind, which knows no AVX-512 and so counts the AVX2 kernels:
//
//     OMP_NUM_THREADS=1 valgrind --tool=callgrind build/bench/tests/bench/bench_kernels \
//       --benchmark_filter=norm/bf16:0 --benchmark_min_time=0.0000001
namespace ldm {
namespace {

at::Tensor draw(at::IntArrayRef shape, const benchmark::State& state) {
  const c10::InferenceMode inference;
  return at::randn(shape).to(state.range(0) == 0 ? at::kFloat : at::kBFloat16);
}

void group_norm(benchmark::State& state) {
  const at::Tensor x = draw({2, 320, 64, 64}, state).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor weight = draw({320}, state), bias = draw({320}, state);
  if (!norm_serves(x)) return state.SkipWithError("no kernel for this dtype here");
  for (auto _ : state) {
    benchmark::DoNotOptimize(group_norm_silu(x, 32, weight, bias, 1e-5, true));
  }
  state.SetItemsProcessed(state.iterations() * x.numel());
}

void layer_norm(benchmark::State& state) {
  const at::Tensor x = draw({2, 4096, 320}, state);
  const at::Tensor weight = draw({320}, state), bias = draw({320}, state);
  if (!norm_serves(x)) return state.SkipWithError("no kernel for this dtype here");
  for (auto _ : state) benchmark::DoNotOptimize(fast_layer_norm(x, weight, bias, 1e-5));
  state.SetItemsProcessed(state.iterations() * x.numel());
}

BENCHMARK(group_norm)->ArgName("bf16")->Arg(0)->Arg(1);
BENCHMARK(layer_norm)->ArgName("bf16")->Arg(0)->Arg(1);

}  // namespace
}  // namespace ldm
