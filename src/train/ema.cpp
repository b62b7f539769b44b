#include "ldm/train/ema.h"

#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace ldm::train {

Ema::Ema(std::vector<NamedParameter> parameters, double decay)
    : parameters_(std::move(parameters)), updates_(at::zeros({}, at::kLong)), decay_(decay) {
  for (const NamedParameter& parameter : parameters_) {
    shadow_.push_back(parameter.value.detach().clone());
  }
}

void Ema::update() {
  const c10::AutoGradMode no_grad(false);
  updates_.add_(1);
  const double n = static_cast<double>(updates_.item<std::int64_t>());
  const double decay = std::min(decay_, (1.0 + n) / (10.0 + n));
  std::vector<at::Tensor> values;
  values.reserve(parameters_.size());
  for (const NamedParameter& parameter : parameters_) values.push_back(parameter.value.detach());
  at::_foreach_lerp_(shadow_, values, 1.0 - decay);
}

TensorMap Ema::averages() const {
  TensorMap averages;
  for (std::size_t i = 0; i < parameters_.size(); ++i) averages[parameters_[i].name] = shadow_[i];
  return averages;
}

TensorMap Ema::state(const std::string& prefix) const {
  TensorMap state;
  for (const auto& [name, average] : averages()) state[prefix + name] = average;
  state[prefix + "updates"] = updates_;
  return state;
}

void Ema::swap() {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor kept = shadow_[i].clone();
    shadow_[i].copy_(parameters_[i].value);
    at::Tensor(parameters_[i].value).copy_(kept);
  }
}

}  // namespace ldm::train
