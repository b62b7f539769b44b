#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "ldm/train/tensor_map.h"

namespace ldm::train {

class ProcessGroup;

/// A tensor that is learned, by the name that checkpoints store it under.
struct NamedParameter {
  std::string name;
  at::Tensor value;
};

/// The parameters of a module that want gradients, by their names with `prefix` before them.
std::vector<NamedParameter> trained_parameters(const torch::nn::Module& module,
                                               const std::string& prefix = {});

/// The fields of a run's "optimizer" section. `learning_rate`, `weight_decay` serve both kinds, the
/// betas and epsilon AdamW alone, `momentum` Muon alone.
struct OptimizerConfig {
  std::string kind = "adamw";  ///< adamw; or muon for hidden matrices, AdamW for all the rest
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  double momentum = 0.95;

  template <class V>
  void visit(V&& v) {
    v("kind", kind);
    v("learning_rate", learning_rate);
    v("beta1", beta1);
    v("beta2", beta2);
    v("epsilon", epsilon);
    v("weight_decay", weight_decay);
    v("momentum", momentum);
  }
  /// Error::input naming the field that is out of range, with `where` before it.
  void validate(const std::string& where) const;
};

/// Changes parameters along their gradients. Parameters are fp32 with storage; one without a
/// gradient stays as it is, its state too.
class Optimizer {
 public:
  explicit Optimizer(std::vector<NamedParameter> parameters) : parameters_(std::move(parameters)) {}
  virtual ~Optimizer() = default;

  /// One update with learning rate `learning_rate * factor`.
  virtual void step(double factor) = 0;

  /// What a checkpoint holds, each name beginning with `prefix`; shares storage.
  virtual TensorMap state(const std::string& prefix) const = 0;

  /// Lets all gradients go.
  void zero_grad();

  const std::vector<NamedParameter>& parameters() const { return parameters_; }

 private:
  std::vector<NamedParameter> parameters_;
};

/// The optimizer that `config.kind` names. Processes of `group` hold equal gradients and share its
/// work; null: this process alone.
std::unique_ptr<Optimizer> make_optimizer(std::vector<NamedParameter> parameters,
                                          const OptimizerConfig& config,
                                          std::shared_ptr<ProcessGroup> group);

}  // namespace ldm::train
