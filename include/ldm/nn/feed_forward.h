#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "ldm/nn/layers.h"

namespace ldm::nn {

/// One projection to twice the width; its first half times the exact gelu of its second half.
/// x [..., in] → [..., out], in e4m3 where that is asked. Source: Shazeer 2020, eq. 6; diffusers'
/// GEGLU.
struct GEGLUImpl : torch::nn::Module {
  GEGLUImpl(std::int64_t dim_in, std::int64_t dim_out);
  at::Tensor forward(const at::Tensor& x, bool e4m3 = false) const;
  void pack();                                  ///< see nn/pack.h
  void unpack();                                ///< see nn/pack.h
  void visit_packed(const PackedVisit& visit);  ///< see nn/pack.h

  Linear proj{nullptr};

 private:
  at::Tensor packed_value_;  ///< the two halves of proj's weight
  at::Tensor packed_gate_;
  at::Tensor int8_;  ///< both, in 8 bits
};
TORCH_MODULE(GEGLU);

/// GEGLU to four times the width and a projection back. x [..., dim] → [..., dim].
/// Source: diffusers' FeedForward with activation_fn "geglu".
struct FeedForwardImpl : torch::nn::Module {
  explicit FeedForwardImpl(std::int64_t dim);
  at::Tensor forward(const at::Tensor& x) const;
  /// forward(x) + addend, added where it is read next.
  PendingSum forward_pending(const at::Tensor& x, const at::Tensor& addend) const;

  /// Slots 0 (GEGLU) and 2 (Linear); diffusers' slot 1 is a Dropout.
  std::shared_ptr<torch::nn::Module> net;
  GEGLU geglu{nullptr};
  Linear project_out{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace ldm::nn
