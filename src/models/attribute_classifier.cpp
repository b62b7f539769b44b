#include "ldm/models/attribute_classifier.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/relu.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

constexpr std::int64_t kGroups = 8;
constexpr double kEps = 1e-5;

void require(bool fine, const char* field, std::int64_t value) {
  if (!fine) throw Error::model(cat("attribute classifier: ", field, " ", value, " is no size"));
}

}  // namespace

void AttributeClassifierConfig::validate() const {
  constexpr std::int64_t kMostClasses = 100'000;
  require(objects >= 1 && objects <= kMostClasses, "objects", objects);
  require(backgrounds >= 1 && backgrounds <= kMostClasses, "backgrounds", backgrounds);
  require(counts >= 1 && counts <= kMostClasses, "counts", counts);
  require(width >= kGroups && width <= 1024 && width % kGroups == 0, "width", width);
  require(blocks >= 0 && blocks <= 64, "blocks", blocks);
  require(picture_size >= 16 && picture_size <= 1024, "picture_size", picture_size);
}

ClassifierBlockImpl::ClassifierBlockImpl(std::int64_t channels) {
  norm1 = register_module("norm1", nn::GroupNorm(kGroups, channels, kEps));
  conv1 = register_module("conv1", nn::Conv2d(channels, channels, 3, 1, 1));
  norm2 = register_module("norm2", nn::GroupNorm(kGroups, channels, kEps));
  conv2 = register_module("conv2", nn::Conv2d(channels, channels, 3, 1, 1));
}

at::Tensor ClassifierBlockImpl::forward(const at::Tensor& x) const {
  const at::Tensor hidden = conv1->forward(at::relu(norm1->forward(x)));
  return x + conv2->forward(at::relu(norm2->forward(hidden)));
}

AttributeClassifierImpl::AttributeClassifierImpl(const AttributeClassifierConfig& sizes)
    : config(sizes) {
  config.validate();
  const std::int64_t width = config.width;
  stem = register_module("stem", nn::Conv2d(3, width, 5, 2, 2));
  down1 = register_module("down1", nn::Conv2d(width, 2 * width, 3, 2, 1));
  blocks1 = register_module("blocks1", std::make_shared<nn::ModuleList<ClassifierBlock>>());
  down2 = register_module("down2", nn::Conv2d(2 * width, 4 * width, 3, 2, 1));
  blocks2 = register_module("blocks2", std::make_shared<nn::ModuleList<ClassifierBlock>>());
  for (std::int64_t i = 0; i < config.blocks; ++i) {
    blocks1->append(ClassifierBlock(2 * width));
    blocks2->append(ClassifierBlock(4 * width));
  }
  norm = register_module("norm", nn::GroupNorm(kGroups, 4 * width, kEps));
  object = register_module("object", nn::Linear(8 * width, config.objects));
  background = register_module("background", nn::Linear(8 * width, config.backgrounds));
  count = register_module("count", nn::Linear(8 * width, config.counts));
}

AttributeLogits AttributeClassifierImpl::forward(const at::Tensor& x) const {
  if (x.dim() != 4 || x.size(1) != 3 || x.size(2) != config.picture_size ||
      x.size(3) != config.picture_size) {
    throw Error::internal(cat("the classifier takes pictures [B, 3, ", config.picture_size, ", ",
                              config.picture_size, "], found ", x.sizes()));
  }
  at::Tensor hidden = at::relu(stem->forward(x));
  hidden = down1->forward(hidden);
  for (const ClassifierBlock& block : *blocks1) hidden = block->forward(hidden);
  hidden = down2->forward(at::relu(hidden));
  for (const ClassifierBlock& block : *blocks2) hidden = block->forward(hidden);
  hidden = at::relu(norm->forward(hidden));
  const at::Tensor features = at::cat({hidden.mean({2, 3}), hidden.amax({2, 3})}, 1);
  return {object->forward(features), background->forward(features), count->forward(features)};
}

}  // namespace ldm::models
