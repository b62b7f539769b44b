#include "ldm/nn/feed_forward.h"

#include "ldm/kernels/gate.h"
#include "ldm/kernels/int8_linear.h"
#include "ldm/kernels/onednn.h"

namespace ldm::nn {

GEGLUImpl::GEGLUImpl(std::int64_t dim_in, std::int64_t dim_out) {
  proj = register_module("proj", Linear(dim_in, 2 * dim_out));
}

at::Tensor GEGLUImpl::forward(const at::Tensor& x, bool e4m3) const {
  if (int8_.defined()) {
    return int8_linear_gated(x, int8_, proj->weight.size(0) / 2, proj->bias);
  }
  if (packed_gate_.defined()) {
    const auto bias = proj->bias.chunk(2);
    return onednn_linear_mul(x, packed_value_, bias[0],
                             onednn_linear_gelu(x, packed_gate_, bias[1]));
  }
  return gelu_gate(proj->forward_pending(x), e4m3);
}

void GEGLUImpl::pack() {
  if (!onednn_serves(proj->weight) || is_unallocated(proj->weight)) return;
  if (proj->prefers_int8 && int8_gated_serves(proj->weight)) {
    int8_ = int8_pack_gated(proj->weight);
  } else {
    const auto halves = proj->weight.chunk(2);
    packed_value_ = onednn_pack_linear(halves[0]);
    packed_gate_ = onednn_pack_linear(halves[1]);
  }
  proj->let_go();
}

void GEGLUImpl::unpack() {
  packed_value_.reset();
  packed_gate_.reset();
  int8_.reset();
}

void GEGLUImpl::visit_packed(const PackedVisit& visit) {
  visit("value", packed_value_);
  visit("gate", packed_gate_);
  visit("int8", int8_);
}

FeedForwardImpl::FeedForwardImpl(std::int64_t dim) {
  const std::int64_t inner_dim = 4 * dim;
  net = register_module("net", std::make_shared<torch::nn::Module>());
  geglu = net->register_module("0", GEGLU(dim, inner_dim));
  project_out = net->register_module("2", Linear(inner_dim, dim));
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) const {
  return take(forward_pending(x, {}));
}

PendingSum FeedForwardImpl::forward_pending(const at::Tensor& x, const at::Tensor& addend) const {
  return project_out->forward_pending(geglu->forward(x, project_out->reads_fp8()), addend);
}

}  // namespace ldm::nn
