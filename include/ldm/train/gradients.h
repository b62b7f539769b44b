#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ldm/train/tensor_map.h"

namespace ldm::train {

/// The L2 norm of all gradients together; parameters without one count as zero.
double gradient_norm(const std::vector<at::Tensor>& parameters);

/// Multiplies all gradients so that their norm `norm` becomes at most `max_norm`;
/// `torch.nn.utils.clip_grad_norm_`, its 1e-6 included.
void clip_gradients(const std::vector<at::Tensor>& parameters, double norm, double max_norm);

/// Keeps fp16 gradients in range: losses are multiplied by a scale that grows while gradients stay
/// finite and halves when they do not (Micikevicius et al. 2018); `torch.amp.GradScaler`, its
/// constants included. Disabled, its scale is 1 and stays so.
class LossScaler {
 public:
  explicit LossScaler(bool enabled);

  at::Tensor scale(const at::Tensor& loss) const;
  /// Divides gradients by the scale; their norm then, which is not finite when one of them is not.
  double unscale(const std::vector<at::Tensor>& parameters) const;
  /// Once a step, after `unscale`.
  void update(bool finite);

  bool enabled() const { return enabled_; }
  double value() const;
  /// "scale" and "growth_tracker", sharing storage; empty when disabled.
  TensorMap state(const std::string& prefix) const;

 private:
  bool enabled_;
  at::Tensor scale_;   ///< fp32 []
  at::Tensor growth_;  ///< int64 []: finite steps since the scale last changed
};

}  // namespace ldm::train
