#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "ldm/nn/sequence.h"

namespace ldm::models {

/// From two distances to how likely people find the second picture nearer: three 1x1 convolutions
/// over (d0, d1, d0 - d1, d0 / (d1 + 0.1), d1 / (d0 + 0.1)) (Zhang et al. 2018, section 3.3;
/// `lpips.Dist2LogitLayer`, same names: "model.0.weight", "model.2.weight", "model.4.weight").
struct RankingNetImpl : torch::nn::Module {
  RankingNetImpl();
  /// d0, d1 [B] → logits [B]; their sigmoid is the package's output.
  at::Tensor forward(const at::Tensor& d0, const at::Tensor& d1) const;

  std::shared_ptr<nn::Sequence> model;
};
TORCH_MODULE(RankingNet);

}  // namespace ldm::models
