#include "ldm/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

namespace ldm::train {
namespace {

constexpr double kFirstScale = 65536.0;
constexpr double kGrowth = 2.0;
constexpr double kBackoff = 0.5;
constexpr std::int64_t kGrowthInterval = 2000;

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

}  // namespace

double gradient_norm(const std::vector<at::Tensor>& parameters) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return 0;
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
}

void clip_gradients(const std::vector<at::Tensor>& parameters, double norm, double max_norm) {
  constexpr double kEpsilon = 1e-6;
  const double factor = max_norm / (norm + kEpsilon);
  if (!(factor < 1)) return;
  const c10::AutoGradMode no_grad(false);
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (!gradients.empty()) at::_foreach_mul_(gradients, factor);
}

LossScaler::LossScaler(bool enabled)
    : enabled_(enabled),
      scale_(at::full({}, kFirstScale, at::kFloat)),
      growth_(at::zeros({}, at::kLong)) {}

double LossScaler::value() const { return enabled_ ? scale_.item<double>() : 1.0; }

at::Tensor LossScaler::scale(const at::Tensor& loss) const {
  return enabled_ ? loss * value() : loss;
}

double LossScaler::unscale(const std::vector<at::Tensor>& parameters) const {
  const c10::AutoGradMode no_grad(false);
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (enabled_ && !gradients.empty()) at::_foreach_mul_(gradients, 1.0 / value());
  return gradient_norm(parameters);
}

void LossScaler::update(bool finite) {
  if (!enabled_) return;
  const c10::AutoGradMode no_grad(false);
  if (!finite) {
    scale_.mul_(kBackoff);
    growth_.zero_();
  } else if (growth_.add_(1).item<std::int64_t>() == kGrowthInterval) {
    scale_.mul_(kGrowth);
    growth_.zero_();
  }
}

TensorMap LossScaler::state(const std::string& prefix) const {
  if (!enabled_) return {};
  return {{prefix + "scale", scale_}, {prefix + "growth_tracker", growth_}};
}

}  // namespace ldm::train
