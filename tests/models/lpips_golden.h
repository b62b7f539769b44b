#pragma once

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <string>
#include <vector>

#include "ldm/models/lpips.h"
#include "tests/support/tensors.h"

namespace ldm::test {

/// A network with the weights of scripts/goldens/lpips.py.
inline models::LPIPS golden_lpips(const std::string& name) {
  models::LPIPS lpips(models::parse_perceptual_net(name));
  fill_by_formula(*lpips->net, 1000);
  const c10::AutoGradMode no_grad(false);
  for (std::size_t k = 0; k < lpips->lins.size(); ++k) {
    at::Tensor weight = lpips->lins[k]->weighting->weight;
    const auto channels = static_cast<double>(weight.size(1));
    weight.set_data(seeded_randn(weight.sizes(), 2000 + k).abs() / channels);
  }
  return lpips;
}

/// A picture of scripts/goldens/lpips.py.
inline at::Tensor golden_picture(std::uint64_t seed, std::int64_t height, std::int64_t width,
                                 std::int64_t count = 2) {
  return (seeded_randn({count, 3, height, width}, seed) * 0.5).clamp(-1, 1);
}

/// The weightings, first stage first.
inline std::vector<at::Tensor> weightings_of(const models::LPIPS& lpips) {
  std::vector<at::Tensor> weights;
  for (const auto& lin : lpips->lins) weights.push_back(lin->weighting->weight);
  return weights;
}

}  // namespace ldm::test
