#include "ldm/train/muon.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ldm/train/process_group.h"

namespace ldm::train {
namespace {

constexpr int kNewtonSchulzSteps = 5;
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
constexpr double kSmallestNorm = 1e-7;
constexpr double kAdamWSize = 0.2;  ///< root mean square of AdamW's updates, over the rate

}  // namespace

bool is_hidden_matrix(const NamedParameter& parameter) {
  const std::string& name = parameter.name;
  return parameter.value.dim() >= 2 && !name.ends_with("embedding.weight") &&
         !name.ends_with("embeddings.weight") && !name.ends_with("conv_in.weight") &&
         !name.ends_with("conv_out.weight");
}

at::Tensor orthogonalize(const at::Tensor& matrix) {
  at::Tensor x = matrix.to(at::kBFloat16);
  const bool tall = x.size(0) > x.size(1);
  if (tall) x = x.t();
  x = x / x.norm().clamp_min(kSmallestNorm);
  for (int step = 0; step < kNewtonSchulzSteps; ++step) {
    const at::Tensor square = at::matmul(x, x.t());
    x = at::addmm(x, at::addmm(square, square, square, kB, kC), x, kA);
  }
  return (tall ? x.t() : x).to(at::kFloat);
}

Muon::Muon(std::vector<NamedParameter> parameters, const OptimizerConfig& config,
           std::shared_ptr<ProcessGroup> group)
    : Optimizer(std::move(parameters)), config_(config), group_(std::move(group)) {
  for (const NamedParameter& parameter : this->parameters()) {
    momentum_.push_back(at::zeros_like(parameter.value));
  }
}

std::vector<at::Tensor> Muon::share_of_updates(const std::vector<std::size_t>& learning) {
  const int ranks = group_ ? group_->size() : 1;
  const int rank = group_ ? group_->rank() : 0;
  // The longest work first, each to the rank that has the least so far: the same on every rank.
  std::vector<std::size_t> order(learning.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto work = [&](std::size_t i) {
    const at::Tensor& value = parameters()[learning[i]].value;
    const std::int64_t rows = value.size(0), columns = value.numel() / rows;
    return std::min(rows, columns) * value.numel();
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return work(a) > work(b); });
  std::vector<std::int64_t> load(static_cast<std::size_t>(ranks), 0);
  std::vector<at::Tensor> updates(learning.size());
  for (const std::size_t i : order) {
    const auto owner = std::min_element(load.begin(), load.end());
    *owner += work(i);
    const NamedParameter& parameter = parameters()[learning[i]];
    if (owner - load.begin() != rank) {
      updates[i] = at::zeros({parameter.value.numel()}, parameter.value.options());
      continue;
    }
    const at::Tensor nesterov =
        parameter.value.grad().lerp(momentum_[learning[i]], config_.momentum);
    updates[i] = orthogonalize(nesterov.flatten(1)).flatten();
  }
  return updates;
}

void Muon::step(double factor) {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::size_t> learning;
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    const at::Tensor& gradient = parameters()[i].value.grad();
    if (!gradient.defined()) continue;
    learning.push_back(i);
    momentum_[i].lerp_(gradient, 1.0 - config_.momentum);
  }
  if (learning.empty()) return;
  at::Tensor updates = at::cat(share_of_updates(learning));
  if (group_ && group_->size() > 1) group_->all_reduce_sum(updates)->wait();
  const double rate = config_.learning_rate * factor;
  std::int64_t begin = 0;
  for (const std::size_t i : learning) {
    at::Tensor value = parameters()[i].value;
    const std::int64_t rows = value.size(0), columns = value.numel() / rows;
    const double scale = kAdamWSize * std::sqrt(static_cast<double>(std::max(rows, columns)));
    value.mul_(1.0 - rate * config_.weight_decay);
    value.add_(updates.narrow(0, begin, value.numel()).view(value.sizes()), -rate * scale);
    begin += value.numel();
  }
}

TensorMap Muon::state(const std::string& prefix) const {
  TensorMap state;
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    state[prefix + parameters()[i].name + ".momentum"] = momentum_[i];
  }
  return state;
}

}  // namespace ldm::train
