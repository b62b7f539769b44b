#include "ldm/models/attention_layers.h"

#include <string_view>

#include "ldm/core/error.h"

namespace ldm::models {
namespace {

std::vector<AttentionLayer> layers_named(const DenoiserImpl& denoiser, std::string_view ending,
                                         bool cross, const std::string& part) {
  std::vector<AttentionLayer> layers;
  for (const auto& item : denoiser.named_modules()) {
    const std::string& name = item.key();
    auto* attention = dynamic_cast<nn::AttentionImpl*>(item.value().get());
    if (attention == nullptr || attention->sees_text() != cross || !name.ends_with(ending) ||
        name.find(part) == std::string::npos) {
      continue;
    }
    layers.push_back({name, attention});
  }
  return layers;
}

}  // namespace

std::vector<AttentionLayer> self_attentions(const DenoiserImpl& denoiser, const std::string& part) {
  return layers_named(denoiser, ".attn1", false, part);
}

std::vector<AttentionLayer> cross_attentions(const DenoiserImpl& denoiser) {
  return layers_named(denoiser, ".attn2", true, {});
}

std::pair<std::int64_t, std::int64_t> layer_size(std::int64_t pixels, std::int64_t h,
                                                 std::int64_t w) {
  while (h * w > pixels) {
    h = (h + 1) / 2;
    w = (w + 1) / 2;
  }
  if (h * w != pixels) throw Error::internal("an attention of no size of this UNet");
  return {h, w};
}

}  // namespace ldm::models
