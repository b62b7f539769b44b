#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "ldm/core/brownian.h"
#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/scheduler.h"

// A sampler's own arithmetic and noise a model call, at Stable Diffusion's latents of 512x512: to
// be at most 1 % of the call.

namespace {

void run(benchmark::State& state, const ldm::SamplerEntry& entry) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  ldm::SchedulerConfig config = entry.defaults();
  config.beta_schedule = "scaled_linear";
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.steps_offset = 1;
  config.skip_prk_steps = true;
  const auto scheduler = entry.make(config);
  scheduler->set_timesteps(30);
  const at::Tensor output = at::randn({1, 4, 64, 64});
  const auto calls = static_cast<int>(scheduler->timesteps().size());
  for (auto _ : state) {
    ldm::BrownianPath path(7, {4, 64, 64});
    at::Tensor x = output * scheduler->init_noise_sigma();
    scheduler->set_begin_index(0);
    for (int i = 0; i < calls; ++i) {
      benchmark::DoNotOptimize(scheduler->scale_model_input(x, i));
      at::Tensor noise;
      if (scheduler->needs_noise(i)) {
        const auto interval = scheduler->noise_interval(i);
        noise = interval ? path.increment(interval->from, interval->to).unsqueeze(0)
                         : at::randn({1, 4, 64, 64});
      }
      x = scheduler->step(output, i, x, noise);
    }
  }
  state.counters["us_per_call"] = benchmark::Counter(
      calls * 1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace

int main(int argc, char** argv) {
  for (const ldm::SamplerEntry& entry : ldm::samplers()) {
    benchmark::RegisterBenchmark(entry.name, [&entry](benchmark::State& state) {
      run(state, entry);
    })->MeasureProcessCPUTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
