#include "ldm/pipeline/step_noise.h"

#include <ATen/ops/stack.h>

#include "ldm/core/brownian.h"
#include "ldm/core/random.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

StepNoise::StepNoise(std::vector<ImageRandom>& randoms, const std::vector<std::uint64_t>& seeds,
                     const std::vector<std::int64_t>& shape)
    : randoms_(randoms), shape_(shape) {
  for (const std::uint64_t seed : seeds) {
    paths_.push_back(std::make_shared<BrownianPath>(seed, shape));
  }
}

at::Tensor StepNoise::draw(const Scheduler& scheduler, int i) {
  if (!scheduler.needs_noise(i)) return {};
  const auto interval = scheduler.noise_interval(i);
  if (!interval) return randn_each(randoms_, shape_);
  std::vector<at::Tensor> draws;
  for (const auto& path : paths_) draws.push_back(path->increment(interval->from, interval->to));
  return at::stack(draws);
}

}  // namespace ldm
