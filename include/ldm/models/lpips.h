#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ldm/models/perceptual_backbone.h"

namespace ldm::models {

/// What a channel weighting's dropout multiplies with: for stage k and a shape [B, C, H, W], zeros
/// and 1 / (1 - p). No function: no dropout.
using DropoutMasks = std::function<at::Tensor(std::size_t stage, at::IntArrayRef shape)>;

/// One stage's weighting: a 1x1 convolution to one channel without bias, after the package's
/// (parameterless) dropout. `lpips.NetLinLayer`: "model.1.weight" [1, C, 1, 1].
struct NetLinLayerImpl : torch::nn::Module {
  explicit NetLinLayerImpl(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x) const { return model->forward(x); }

  std::shared_ptr<nn::Sequence> model;
  nn::Conv2d weighting{nullptr};  ///< model.1
};
TORCH_MODULE(NetLinLayer);

/// Learned perceptual distance of two pictures: features of a classification network at several
/// depths, normalised over channels, squared differences weighted by channel, averaged over the
/// picture, summed over depths (Zhang et al. 2018, equation 1; `lpips.LPIPS` version 0.1).
///
/// Names: "net.features.0.weight" for the backbone, "lin0.model.1.weight" … for the weightings.
/// Where a position's features are all zero the gradient is zero; the package's is NaN.
struct LPIPSImpl : torch::nn::Module {
  explicit LPIPSImpl(PerceptualNet which);

  /// in0, in1 [B, 3, H, W] in [-1, 1] → distances [B], zero for equal pictures. Gradients flow to
  /// whichever of the pictures and parameters want one. Error::input for pictures of different or
  /// too small sizes.
  at::Tensor forward(const at::Tensor& in0, const at::Tensor& in1,
                     const DropoutMasks& masks = {}) const;
  /// The distance at each pixel, [B, 1, H, W]: stages enlarged bilinearly and summed (`spatial`).
  at::Tensor forward_map(const at::Tensor& in0, const at::Tensor& in1) const;

  /// Whether training changes the backbone, and the weightings; new modules change neither, so as a
  /// loss for other networks nothing needs to be done.
  void set_trainable(bool backbone, bool weightings);
  /// Makes every weighting at least zero (the package's `clamp_weights`, which by mistake also
  /// clamps SqueezeNet's own 1x1 convolutions).
  void clamp_weightings();

  PerceptualBackbone net{nullptr};
  std::vector<NetLinLayer> lins;

 private:
  /// Each stage's weighted squared differences, [B, 1, H_k, W_k].
  std::vector<at::Tensor> differences(const at::Tensor& in0, const at::Tensor& in1,
                                      const DropoutMasks& masks) const;
};
TORCH_MODULE(LPIPS);

/// Random weights for whatever holds none yet: convolutions He normal (He et al. 2015, equation 10)
/// with zero biases, weightings uniform in [0, 1/√C]. Wants no gradients.
void initialize_lpips(LPIPSImpl& lpips, std::uint64_t seed);

}  // namespace ldm::models
