#include "ldm/nn/pack.h"

#include <c10/core/GradMode.h>

#include "ldm/nn/attention.h"
#include "ldm/nn/feed_forward.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/time_projections.h"
#include "ldm/nn/transformer_2d.h"

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
    if (auto* projections = child.as<TimeProjectionsImpl>()) visit(*projections);
  });
}

/// Visits what packing made of every layer, by names below `module`.
void visit_packed(torch::nn::Module& module,
                  const std::function<void(const std::string& name, at::Tensor& tensor)>& visit) {
  for (const auto& item : module.named_modules("", /*include_self=*/true)) {
    const std::string prefix = item.key().empty() ? "" : item.key() + ".";
    const PackedVisit visit_here = [&](const char* name, at::Tensor& tensor) {
      visit(prefix + name, tensor);
    };
    torch::nn::Module& layer = *item.value();
    if (auto* linear = layer.as<LinearImpl>()) linear->visit_packed(visit_here);
    if (auto* conv = layer.as<Conv2dImpl>()) conv->visit_packed(visit_here);
    if (auto* attention = layer.as<AttentionImpl>()) attention->visit_packed(visit_here);
    if (auto* geglu = layer.as<GEGLUImpl>()) geglu->visit_packed(visit_here);
  }
}

/// The layers of a block that read what a LayerNorm or GEGLU's gate gives: these round to e4m3 as
/// they write.
void prefer_fp8(BasicTransformerBlockImpl& block) {
  for (AttentionImpl* attention : {block.attn1.get(), block.attn2.get()}) {
    attention->to_q->prefers_fp8 = true;
    attention->to_k->prefers_fp8 = attention->to_v->prefers_fp8 = !attention->sees_text();
  }
  block.ff->geglu->proj->prefers_fp8 = block.ff->project_out->prefers_fp8 = true;
}

}  // namespace

void prefer_eight_bit(torch::nn::Module& module) {
  const auto mark = [](torch::nn::Module& layer) {
    if (auto* linear = layer.as<LinearImpl>()) linear->prefers_int8 = true;
    if (auto* conv = layer.as<Conv2dImpl>()) conv->prefers_int8 = true;
  };
  const auto except_text = [](torch::nn::Module& layer) {
    auto* attention = layer.as<AttentionImpl>();
    if (attention == nullptr || !attention->sees_text()) return;
    attention->to_k->prefers_int8 = attention->to_v->prefers_int8 = false;
  };
  module.apply([&](torch::nn::Module& child) {
    auto* transformer = child.as<Transformer2DModelImpl>();
    if (transformer == nullptr) return;
    transformer->apply(mark);
    transformer->apply(except_text);
    for (const auto& block : *transformer->transformer_blocks) prefer_fp8(*block.ptr());
  });
}

void pack_for_inference(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  for_each_packable(module, [](auto& layer) { layer.pack(); });
}

void unpack(torch::nn::Module& module) {
  for_each_packable(module, [](auto& layer) { layer.unpack(); });
}

std::map<std::string, at::Tensor> packed_tensors(torch::nn::Module& module) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : module.named_parameters()) {
    if (!is_unallocated(item.value())) tensors.emplace(item.key(), item.value().detach());
  }
  visit_packed(module, [&tensors](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) tensors.emplace(name, tensor);
  });
  return tensors;
}

void adopt_packed(torch::nn::Module& module, at::ScalarType dtype,
                  const std::function<at::Tensor(const std::string& name)>& find) {
  const c10::AutoGradMode no_grad(false);
  for (const auto& item : module.named_parameters()) {
    const at::Tensor found = find(item.key());
    at::Tensor(item.value())
        .set_data(found.defined() ? found : unallocated(item.value().sizes(), dtype));
  }
  visit_packed(module,
               [&find](const std::string& name, at::Tensor& tensor) { tensor = find(name); });
  // What remains of packing is what layers do differently from then on.
  pack_for_inference(module);
}

}  // namespace ldm::nn
