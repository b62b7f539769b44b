#include "ldm/nn/pack.h"

#include <c10/core/GradMode.h>

#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

template <typename Visit>
void for_each_leaf(torch::nn::Module& module, const Visit& visit) {
  module.apply([&visit](torch::nn::Module& child) {
    if (auto* linear = child.as<LinearImpl>()) visit(*linear);
    if (auto* conv = child.as<Conv2dImpl>()) visit(*conv);
  });
}

}  // namespace

void pack_for_inference(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  for_each_leaf(module, [](auto& layer) { layer.pack(); });
}

void unpack(torch::nn::Module& module) {
  for_each_leaf(module, [](auto& layer) { layer.unpack(); });
}

}  // namespace ldm::nn
