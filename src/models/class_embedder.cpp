#include "ldm/models/class_embedder.h"

#include <ATen/ops/aminmax.h>

#include <tuple>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/models/token_ids.h"

namespace ldm::models {
namespace {

constexpr const char* kWhat = "class embedder";

}  // namespace

void ClassEmbedderConfig::validate() const {
  check_text_size(kWhat, "embed_dim", embed_dim);
  check_text_size(kWhat, n_classes ? "n_classes" : "num_classes", classes());
}

ClassEmbedderImpl::ClassEmbedderImpl(const ClassEmbedderConfig& class_config)
    : config(class_config) {
  config.validate();
  embedding = register_module("embedding", nn::Embedding(config.classes(), config.embed_dim));
}

at::Tensor ClassEmbedderImpl::encode(const at::Tensor& ids, std::int64_t clip_skip) const {
  refuse_clip_skip(clip_skip, kWhat);
  if (ids.dim() != 2 || ids.size(1) != 1) {
    throw Error::internal(cat("the class embedder takes classes [B, 1], found ", ids.sizes()));
  }
  if (ids.is_cpu() && ids.numel() > 0) {
    const auto [low, high] = at::aminmax(ids);
    const auto least = low.item<std::int64_t>();
    const auto most = high.item<std::int64_t>();
    if (least < 0 || most >= config.classes()) {
      throw Error::usage(cat("class ", least < 0 ? least : most, " does not exist"),
                         cat("this model has the classes 0 to ", config.classes() - 1));
    }
  }
  return embedding->forward(ids.to(embedding->weight.device()));
}

}  // namespace ldm::models
