#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <vector>

namespace ldm::nn {

/// What a block computes of its inputs, the same at every call. It is called again in backward, so
/// what it refers to must live that long.
using BlockForward = std::function<std::vector<at::Tensor>(at::TensorList inputs)>;

/// Runs `forward`, the computation of `block`, without keeping what lies between inputs and
/// outputs: backward runs it again (Chen et al. 2016, "Training deep nets with sublinear memory
/// cost"; torch.utils.checkpoint). Inputs may be undefined. Gradients of inputs and of the block's
/// parameters are those of the plain computation; each parameter's is accumulated once a call. The
/// recomputation runs under the autocast that `forward` ran under; there is no other state to
/// restore, as no layer draws random numbers. Without gradients being recorded it just runs
/// `forward`.
std::vector<at::Tensor> recompute(const torch::nn::Module& block, const BlockForward& forward,
                                  at::TensorList inputs);

}  // namespace ldm::nn
