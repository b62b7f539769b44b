#include "ldm/nn/activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

#include <array>
#include <string>

#include "ldm/core/error.h"

namespace ldm::nn {
namespace {

struct Row {
  std::string_view name;
  Activation function;
};

at::Tensor silu(const at::Tensor& x) { return at::silu(x); }
at::Tensor gelu(const at::Tensor& x) { return at::gelu(x); }
at::Tensor mish(const at::Tensor& x) { return at::mish(x); }
at::Tensor relu(const at::Tensor& x) { return at::relu(x); }
at::Tensor quick_gelu(const at::Tensor& x) { return at::mul(x, at::sigmoid(at::mul(x, 1.702))); }

constexpr std::array<Row, 6> kActivations{{{"silu", silu},
                                           {"swish", silu},
                                           {"gelu", gelu},
                                           {"quick_gelu", quick_gelu},
                                           {"mish", mish},
                                           {"relu", relu}}};

}  // namespace

Activation get_activation(std::string_view name) {
  for (const Row& row : kActivations) {
    if (row.name == name) return row.function;
  }
  throw Error::model("unknown activation function \"" + std::string(name) + "\"",
                     "known: silu, swish, gelu, quick_gelu, mish, relu");
}

}  // namespace ldm::nn
