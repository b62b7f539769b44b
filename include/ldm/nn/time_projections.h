#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "ldm/nn/activation.h"
#include "ldm/nn/resnet.h"

namespace ldm::nn {

/// The time embedding as a UNet's residual blocks take it: packed on a GPU, the projections of all
/// of them in one matrix product; otherwise the embedding itself, which each block projects.
struct TimeProjectionsImpl : torch::nn::Module {
  /// Of all blocks below `unet` that there are now; `activation` is what they apply.
  TimeProjectionsImpl(const torch::nn::Module& unet, Activation activation);
  /// temb [B, temb_channels] → what the blocks' `forward` takes, [B, …].
  at::Tensor forward(const at::Tensor& temb) const;
  void pack();    ///< see nn/pack.h
  void unpack();  ///< see nn/pack.h

 private:
  std::vector<std::shared_ptr<ResnetBlock2DImpl>> blocks_;  ///< those with a projection
  Activation activation_;
  Linear joined_{nullptr};
};
TORCH_MODULE(TimeProjections);

}  // namespace ldm::nn
