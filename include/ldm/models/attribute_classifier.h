#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/nn/layers.h"
#include "ldm/nn/module_list.h"

namespace ldm::models {

/// Sizes of an AttributeClassifier.
struct AttributeClassifierConfig {
  std::int64_t objects = 2;        ///< kinds of objects
  std::int64_t backgrounds = 2;    ///< colours of backgrounds
  std::int64_t counts = 3;         ///< copies: 1 … counts
  std::int64_t width = 32;         ///< channels of the first stage, a multiple of 8
  std::int64_t blocks = 2;         ///< residual blocks of each later stage
  std::int64_t picture_size = 64;  ///< pixels a side that pictures are fitted to

  /// Error::model for sizes that make no network.
  void validate() const;

  template <class V>
  void visit(V&& v) {
    v("objects", objects);
    v("backgrounds", backgrounds);
    v("counts", counts);
    v("width", width);
    v("blocks", blocks);
    v("picture_size", picture_size);
  }
};

/// What a classifier thinks of pictures, as logits.
struct AttributeLogits {
  at::Tensor object;      ///< [B, objects]
  at::Tensor background;  ///< [B, backgrounds]
  at::Tensor count;       ///< [B, counts]; column i: i + 1 copies
};

/// x + convolution(ReLU(norm(convolution(ReLU(norm(x)))))): He et al. 2016, "Identity mappings in
/// deep residual networks", figure 1 (b), with group normalisation. x [B, C, H, W] → same shape.
struct ClassifierBlockImpl : torch::nn::Module {
  explicit ClassifierBlockImpl(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;

  nn::GroupNorm norm1{nullptr};
  nn::Conv2d conv1{nullptr};
  nn::GroupNorm norm2{nullptr};
  nn::Conv2d conv2{nullptr};
};
TORCH_MODULE(ClassifierBlock);

/// Names what a composed picture shows: a small residual network, to measure whether generated
/// pictures follow their prompts. Three convolutions of stride 2, residual blocks after the second
/// and the third, mean and maximum over all places, one linear layer an attribute.
struct AttributeClassifierImpl : torch::nn::Module {
  explicit AttributeClassifierImpl(const AttributeClassifierConfig& config);

  /// x [B, 3, S, S] in [-1, 1], S the config's picture size.
  AttributeLogits forward(const at::Tensor& x) const;

  const AttributeClassifierConfig config;
  nn::Conv2d stem{nullptr};
  nn::Conv2d down1{nullptr};
  std::shared_ptr<nn::ModuleList<ClassifierBlock>> blocks1;
  nn::Conv2d down2{nullptr};
  std::shared_ptr<nn::ModuleList<ClassifierBlock>> blocks2;
  nn::GroupNorm norm{nullptr};
  nn::Linear object{nullptr};
  nn::Linear background{nullptr};
  nn::Linear count{nullptr};
};
TORCH_MODULE(AttributeClassifier);

}  // namespace ldm::models
