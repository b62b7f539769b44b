#include "ldm/models/ranking_net.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/stack.h>

#include "ldm/nn/layers.h"

namespace ldm::models {
namespace {

constexpr double kRatioEpsilon = 0.1;
constexpr std::int64_t kInputs = 5;
constexpr std::int64_t kHidden = 32;

}  // namespace

RankingNetImpl::RankingNetImpl() {
  const auto leaky_relu = [](const at::Tensor& x) { return at::leaky_relu(x, 0.2); };
  model = register_module("model", std::make_shared<nn::Sequence>());
  model->append(nn::Conv2d(kInputs, kHidden, 1));
  model->append_function(leaky_relu);
  model->append(nn::Conv2d(kHidden, kHidden, 1));
  model->append_function(leaky_relu);
  model->append(nn::Conv2d(kHidden, 1, 1));
}

at::Tensor RankingNetImpl::forward(const at::Tensor& d0, const at::Tensor& d1) const {
  const at::Tensor inputs =
      at::stack({d0, d1, d0 - d1, d0 / (d1 + kRatioEpsilon), d1 / (d0 + kRatioEpsilon)}, 1);
  return model->forward(inputs.view({-1, kInputs, 1, 1})).flatten();
}

}  // namespace ldm::models
