#pragma once

#include <memory>
#include <vector>

#include "ldm/train/optimizer.h"

namespace ldm::train {

/// Whether Muon is meant for it: two dimensions or more, neither an embedding table nor the layer
/// that reads or writes pictures (conv_in, conv_out).
bool is_hidden_matrix(const NamedParameter& parameter);

/// An approximation of U·Vᵀ where `matrix` [m, n] = U·S·Vᵀ: five steps of the quintic Newton-Schulz
/// iteration of Jordan et al. 2024, in bf16; the singular values come out between 0.7 and 1.2.
at::Tensor orthogonalize(const at::Tensor& matrix);

/// Momentum orthogonalized (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural
/// networks"): Nesterov momentum whose singular values are made about one, so that every direction
/// of a matrix learns alike. Convolutions count as matrices [out, in·h·w]. The update is scaled by
/// 0.2·√max(m, n) (Liu et al. 2025), which gives it the size of AdamW's: one learning rate serves
/// both. `torch.optim.Muon(nesterov=True, adjust_lr_fn="match_rms_adamw")`.
class Muon : public Optimizer {
 public:
  /// The processes of `group` share the matrices out between them; null: this one alone.
  Muon(std::vector<NamedParameter> parameters, const OptimizerConfig& config,
       std::shared_ptr<ProcessGroup> group);

  void step(double factor) override;

  /// State under "PARAMETER.momentum".
  TensorMap state(const std::string& prefix) const override;

 private:
  /// The orthogonalized updates of all `learning` parameters, of this process' share only; the
  /// others' are zero.
  std::vector<at::Tensor> share_of_updates(const std::vector<std::size_t>& learning);

  OptimizerConfig config_;
  std::shared_ptr<ProcessGroup> group_;
  std::vector<at::Tensor> momentum_;
};

}  // namespace ldm::train
