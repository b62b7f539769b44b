#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace ldm::nn {

/// Fills every placeholder below `module` with random weights for training: the only place that
/// does. Linear and Conv2d as `torch.nn` does (uniform within 1/√fan_in), norms one and zero,
/// embeddings normal with a deviation of 0.02 (CLIP's, BERT's). Parameters that have values stay.
/// Everything is fp32 on the CPU and wants a gradient. The numbers depend on `seed` and on a
/// parameter's name and shape, not on the order or the presence of others.
void initialize(torch::nn::Module& module, std::uint64_t seed);

/// Sets a layer's weight and bias to zero, e.g. the last one of a residual branch.
void zero(torch::nn::Module& layer);

}  // namespace ldm::nn
