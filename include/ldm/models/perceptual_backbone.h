#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/nn/layers.h"
#include "ldm/nn/sequence.h"

namespace ldm::models {

/// The classification networks whose features LPIPS compares.
enum class PerceptualNet { kVgg, kAlex, kSqueeze };

/// "vgg", "alex", "squeeze": the public package's words.
std::string_view perceptual_net_name(PerceptualNet net);
/// The network of a word, "vgg16" included; Error::usage for another.
PerceptualNet parse_perceptual_net(const std::string& word);

/// Squeeze to few channels, then 1x1 and 3x3 convolutions side by side (Iandola et al. 2016,
/// section 3; `torchvision.models.squeezenet.Fire`). x [B, in, H, W] → [B, 2 * expand, H, W].
struct FireImpl : torch::nn::Module {
  FireImpl(std::int64_t in_channels, std::int64_t squeeze_channels, std::int64_t expand_channels);
  at::Tensor forward(const at::Tensor& x) const;

  nn::Conv2d squeeze{nullptr}, expand1x1{nullptr}, expand3x3{nullptr};
};
TORCH_MODULE(Fire);

/// The convolutional part of VGG-16, AlexNet or SqueezeNet 1.1 with torchvision's parameter names
/// ("features.0.weight"), cut into the stages of `lpips.pretrained_networks`: relu1_2, 2_2, 3_3,
/// 4_3, 5_3 of VGG, relu1 … relu5 of AlexNet, seven of SqueezeNet.
struct PerceptualBackboneImpl : torch::nn::Module {
  explicit PerceptualBackboneImpl(PerceptualNet which);
  /// x [B, 3, H, W] → one [B, channels[k], H_k, W_k] a stage. Error::input for pictures whose
  /// shorter side is below `min_side`.
  std::vector<at::Tensor> forward(const at::Tensor& x) const;

  PerceptualNet net;
  std::vector<std::int64_t> channels;  ///< of each stage
  std::int64_t min_side = 0;           ///< pixels
  std::shared_ptr<nn::Sequence> features;

 private:
  void build_vgg();
  void build_alex();
  void build_squeeze();
  void conv_relu(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                 std::int64_t padding);
  void max_pool(std::int64_t kernel, bool ceil_mode = false);
  void end_stage(std::int64_t stage_channels);

  std::vector<std::size_t> ends_;  ///< of each stage, in steps of `features`
};
TORCH_MODULE(PerceptualBackbone);

}  // namespace ldm::models
