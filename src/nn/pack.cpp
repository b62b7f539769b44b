#include "ldm/nn/pack.h"

#include <c10/core/GradMode.h>

#include "ldm/nn/attention.h"
#include "ldm/nn/feed_forward.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

// A module comes before those below it, which may find their weights gone into its own.
template <typename Visit>
void for_each_packable(torch::nn::Module& module, const Visit& visit) {
  module.apply([&visit](torch::nn::Module& child) {
    if (auto* linear = child.as<LinearImpl>()) visit(*linear);
    if (auto* conv = child.as<Conv2dImpl>()) visit(*conv);
    if (auto* norm = child.as<GroupNormImpl>()) visit(*norm);
    if (auto* norm = child.as<LayerNormImpl>()) visit(*norm);
    if (auto* attention = child.as<AttentionImpl>()) visit(*attention);
    if (auto* geglu = child.as<GEGLUImpl>()) visit(*geglu);
  });
}

}  // namespace

void pack_for_inference(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  for_each_packable(module, [](auto& layer) { layer.pack(); });
}

void unpack(torch::nn::Module& module) {
  for_each_packable(module, [](auto& layer) { layer.unpack(); });
}

}  // namespace ldm::nn
