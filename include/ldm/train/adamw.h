#pragma once

#include <vector>

#include "ldm/train/optimizer.h"

namespace ldm::train {

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2), by ATen's fused
/// kernel; `torch.optim.AdamW(fused=True)`. Parameters that are one-dimensional (biases, norms)
/// decay too, as in torch.optim.
class AdamW : public Optimizer {
 public:
  AdamW(std::vector<NamedParameter> parameters, const OptimizerConfig& config);

  void step(double factor) override;

  /// State under "PARAMETER.exp_avg", ".exp_avg_sq" and ".step".
  TensorMap state(const std::string& prefix) const override;

 private:
  OptimizerConfig config_;
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  std::vector<at::Tensor> steps_;
};

}  // namespace ldm::train
