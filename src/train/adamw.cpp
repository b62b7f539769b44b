#include "ldm/train/adamw.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {

void AdamWConfig::validate(const std::string& where) const {
  const auto require = [&](bool fine, const char* field, double value, const char* range) {
    if (!fine) throw Error::input(cat(where, ": /", field, ": ", value, " is not ", range));
  };
  require(learning_rate > 0 && learning_rate <= 1, "learning_rate", learning_rate, "in (0, 1]");
  require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "in [0, 1)");
  require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "in [0, 1)");
  require(epsilon > 0, "epsilon", epsilon, "positive");
  require(weight_decay >= 0 && weight_decay < 1, "weight_decay", weight_decay, "in [0, 1)");
}

AdamW::AdamW(std::vector<NamedParameter> parameters, const AdamWConfig& config)
    : config_(config), parameters_(std::move(parameters)) {
  for (const NamedParameter& parameter : parameters_) {
    exp_avg_.push_back(at::zeros_like(parameter.value));
    exp_avg_sq_.push_back(at::zeros_like(parameter.value));
    steps_.push_back(at::zeros({}, parameter.value.options()));
  }
}

void AdamW::step(double factor) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> values, gradients, averages, squares, steps;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& gradient = parameters_[i].value.grad();
    if (!gradient.defined()) continue;
    values.push_back(parameters_[i].value);
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

void AdamW::zero_grad() {
  for (const NamedParameter& parameter : parameters_) {
    at::Tensor(parameter.value).mutable_grad().reset();
  }
}

TensorMap AdamW::state(const std::string& prefix) const {
  TensorMap state;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string name = prefix + parameters_[i].name;
    state[name + ".exp_avg"] = exp_avg_[i];
    state[name + ".exp_avg_sq"] = exp_avg_sq_[i];
    state[name + ".step"] = steps_[i];
  }
  return state;
}

}  // namespace ldm::train
