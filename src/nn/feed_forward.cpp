#include "ldm/nn/feed_forward.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>

namespace ldm::nn {

GEGLUImpl::GEGLUImpl(std::int64_t dim_in, std::int64_t dim_out) {
  proj = register_module("proj", Linear(dim_in, 2 * dim_out));
}

at::Tensor GEGLUImpl::forward(const at::Tensor& x) const {
  const auto halves = proj->forward(x).chunk(2, -1);
  return halves[0] * at::gelu(halves[1]);
}

FeedForwardImpl::FeedForwardImpl(std::int64_t dim) {
  const std::int64_t inner_dim = 4 * dim;
  net = register_module("net", std::make_shared<torch::nn::Module>());
  geglu = net->register_module("0", GEGLU(dim, inner_dim));
  project_out = net->register_module("2", Linear(inner_dim, dim));
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) const {
  return project_out->forward(geglu->forward(x));
}

}  // namespace ldm::nn
