#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/train/tensor_map.h"

namespace ldm::train {

/// A tensor that is learned, by the name that checkpoints store it under.
struct NamedParameter {
  std::string name;
  at::Tensor value;
};

/// The fields of a run's "optimizer" section.
struct AdamWConfig {
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;

  template <class V>
  void visit(V&& v) {
    v("learning_rate", learning_rate);
    v("beta1", beta1);
    v("beta2", beta2);
    v("epsilon", epsilon);
    v("weight_decay", weight_decay);
  }
  /// Error::input naming the field that is out of range, with `where` before it.
  void validate(const std::string& where) const;
};

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2), by ATen's fused
/// kernel; `torch.optim.AdamW(fused=True)`.
class AdamW {
 public:
  /// Parameters must be fp32 with storage; those that are one-dimensional (biases, norms) decay
  /// too, as in torch.optim.
  AdamW(std::vector<NamedParameter> parameters, const AdamWConfig& config);

  /// One update with learning rate `config.learning_rate * factor`. A parameter without a gradient
  /// stays as it is, its state too.
  void step(double factor);

  /// Lets all gradients go.
  void zero_grad();

  /// State under "PARAMETER.exp_avg", ".exp_avg_sq" and ".step", sharing storage.
  TensorMap state(const std::string& prefix) const;

  const std::vector<NamedParameter>& parameters() const { return parameters_; }

 private:
  AdamWConfig config_;
  std::vector<NamedParameter> parameters_;
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  std::vector<at::Tensor> steps_;
};

}  // namespace ldm::train
