#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

namespace ldm::nn {

/// An elementwise non-linearity: any shape → same shape and dtype.
using Activation = at::Tensor (*)(const at::Tensor&);

/// The non-linearity that a config calls `name`: silu (swish), gelu (exact, erf), quick_gelu,
/// mish or relu. Throws Error::model for any other. Source: diffusers' get_activation.
Activation get_activation(std::string_view name);

}  // namespace ldm::nn
