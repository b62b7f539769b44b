#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace ldm::nn {

/// Batch normalisation with affine parameters and running statistics (Ioffe & Szegedy 2015).
/// x [B, C, H, W] → same shape. While training it normalises by the batch's statistics and moves
/// the running ones towards them; after `eval()` it uses the running ones.
/// torch.nn.BatchNorm2d's names; the buffers are fp32 tensors from the start.
struct BatchNorm2dImpl : torch::nn::Module {
  explicit BatchNorm2dImpl(std::int64_t num_features, double eps = 1e-5, double momentum = 0.1);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight;               ///< [C]
  at::Tensor bias;                 ///< [C]
  at::Tensor running_mean;         ///< buffer [C], zeros at first
  at::Tensor running_var;          ///< buffer [C], ones at first
  at::Tensor num_batches_tracked;  ///< buffer [] int64
  double eps;
  double momentum;
};
TORCH_MODULE(BatchNorm2d);

}  // namespace ldm::nn
