#include "ldm/train/adamw.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace ldm::train {

AdamW::AdamW(std::vector<NamedParameter> parameters, const OptimizerConfig& config)
    : Optimizer(std::move(parameters)), config_(config) {
  for (const NamedParameter& parameter : this->parameters()) {
    exp_avg_.push_back(at::zeros_like(parameter.value));
    exp_avg_sq_.push_back(at::zeros_like(parameter.value));
    steps_.push_back(at::zeros({}, parameter.value.options()));
  }
}

void AdamW::step(double factor) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> values, gradients, averages, squares, steps;
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    const at::Tensor& gradient = parameters()[i].value.grad();
    if (!gradient.defined()) continue;
    values.push_back(parameters()[i].value);
    gradients.push_back(gradient);
    averages.push_back(exp_avg_[i]);
    squares.push_back(exp_avg_sq_[i]);
    steps.push_back(steps_[i].add_(1));
  }
  if (values.empty()) return;
  at::_fused_adamw_(values, gradients, averages, squares, /*max_exp_avg_sqs=*/{}, steps,
                    config_.learning_rate * factor, config_.beta1, config_.beta2,
                    config_.weight_decay, config_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
}

TensorMap AdamW::state(const std::string& prefix) const {
  TensorMap state;
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    const std::string name = prefix + parameters()[i].name;
    state[name + ".exp_avg"] = exp_avg_[i];
    state[name + ".exp_avg_sq"] = exp_avg_sq_[i];
    state[name + ".step"] = steps_[i];
  }
  return state;
}

}  // namespace ldm::train
