#include "ldm/nn/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "ldm/kernels/int8_linear.h"
#include "ldm/kernels/onednn.h"
#include "ldm/nn/circular.h"

namespace ldm::nn {
namespace {

std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

/// Lets a parameter's storage go; its shape and dtype stay readable, since forward follows them.
void release(const at::Tensor& parameter) {
  parameter.set_data(unallocated(parameter.sizes(), parameter.scalar_type()));
}

/// The sides along which a convolution of that padding is circular now.
CircularSides circular_sides(std::int64_t padding) {
  return padding > 0 ? CircularPadding::now() : CircularSides{};
}

/// Whole strides that cover the padding.
std::int64_t frame_strides(std::int64_t stride, std::int64_t padding) {
  return (padding + stride - 1) / stride;
}

/// x with its opposite edges around it, so wide that zeros beyond them reach no output that counts:
/// any form of a convolution with zeros serves then.
at::Tensor with_frame(at::Tensor x, const CircularSides& sides, std::int64_t stride,
                      std::int64_t padding) {
  const std::int64_t width = stride * frame_strides(stride, padding);
  for (const std::int64_t dim : {std::int64_t{2}, std::int64_t{3}}) {
    if (!(dim == 2 ? sides.y : sides.x)) continue;
    std::vector<at::Tensor> parts;
    // A side may be narrower than the frame: then it comes round more than once.
    for (std::int64_t left = width; left > 0; left -= x.size(dim)) {
      const std::int64_t part = std::min(left, x.size(dim));
      parts.insert(parts.begin(), x.narrow(dim, x.size(dim) - part, part));
    }
    parts.push_back(x);
    for (std::int64_t left = width; left > 0; left -= x.size(dim)) {
      parts.push_back(x.narrow(dim, 0, std::min(left, x.size(dim))));
    }
    x = at::cat(parts, dim);
  }
  return x;
}

/// The outputs of a framed input that belong to the input `x` itself.
at::Tensor without_frame(at::Tensor output, const at::Tensor& x, const Conv2dImpl& conv,
                         const CircularSides& sides) {
  const std::int64_t first = frame_strides(conv.stride, conv.padding);
  const at::MemoryFormat format = output.suggest_memory_format();
  for (const std::int64_t dim : {std::int64_t{2}, std::int64_t{3}}) {
    if (!(dim == 2 ? sides.y : sides.x)) continue;
    const std::int64_t reach = x.size(dim) + 2 * conv.padding - conv.weight.size(dim);
    output = output.narrow(dim, first, reach / conv.stride + 1);
  }
  return output.contiguous(format);
}

}  // namespace

at::Tensor unallocated(at::IntArrayRef shape, at::ScalarType dtype) {
  const c10::AutoGradMode no_grad(false);
  return at::empty({1}, dtype).expand(shape).detach();
}

bool is_unallocated(const at::Tensor& parameter) {
  return parameter.nbytes() > parameter.storage().nbytes();
}

at::Tensor repeat_batch(const at::Tensor& x, std::int64_t batch) {
  if (x.size(0) == batch) return x;
  return at::cat(std::vector<at::Tensor>(static_cast<std::size_t>(batch / x.size(0)), x));
}

LinearImpl::LinearImpl(std::int64_t in_features, std::int64_t out_features, bool has_bias) {
  weight = register_parameter("weight", unallocated({out_features, in_features}));
  if (has_bias) bias = register_parameter("bias", unallocated({out_features}));
}

at::Tensor LinearImpl::forward(const at::Tensor& x) const {
  if (reads_fp8()) return take(forward_pending(x));
  if (int8_.defined()) return int8_linear(x, int8_, weight.size(0), bias);
  if (packed_.defined()) return onednn_linear(x, packed_, bias);
  const at::Tensor output = at::linear(x, weight, optional(bias));
  return lora_b_ ? output + lora_scale_ * lora_b_->forward(lora_a_->forward(x)) : output;
}

PendingSum LinearImpl::forward_pending(const at::Tensor& x, const at::Tensor& addend) const {
  if (!defers_) return {forward(x), {}, addend};
  if (reads_fp8()) return {fp8_linear(x, fp8_, weight.scalar_type()), bias, addend};
  return {at::linear(x, weight), bias, addend};
}

void LinearImpl::add_lora(std::int64_t rank, double scale) {
  lora_a_ = register_module("lora_A", std::make_shared<LinearImpl>(weight.size(1), rank, false));
  lora_b_ = register_module("lora_B", std::make_shared<LinearImpl>(rank, weight.size(0), false));
  lora_scale_ = scale;
}

void LinearImpl::pack() {
  if (is_unallocated(weight)) return;
  defers_ = sum_serves(weight) && !lora_b_;
  if (prefers_fp8 && defers_ && fp8_serves(weight)) {
    fp8_ = fp8_pack_linear(weight);
  } else if (!onednn_serves(weight)) {
    return;
  } else if (prefers_int8 && int8_serves(weight)) {
    int8_ = int8_pack_linear(weight);
  } else {
    packed_ = onednn_pack_linear(weight);
  }
  release(weight);
}

void LinearImpl::let_go() { release(weight); }

void LinearImpl::unpack() {
  packed_.reset();
  int8_.reset();
  fp8_ = {};
  defers_ = false;
}

void LinearImpl::visit_packed(const PackedVisit& visit) {
  visit("packed", packed_);
  visit("int8", int8_);
  visit("fp8", fp8_.values);
}

Conv2dImpl::Conv2dImpl(std::int64_t in_channels, std::int64_t out_channels,
                       std::int64_t kernel_size, std::int64_t conv_stride,
                       std::int64_t conv_padding, bool has_bias)
    : stride(conv_stride), padding(conv_padding) {
  weight = register_parameter("weight",
                              unallocated({out_channels, in_channels, kernel_size, kernel_size}));
  if (has_bias) bias = register_parameter("bias", unallocated({out_channels}));
}

at::Tensor Conv2dImpl::forward(const at::Tensor& x) const {
  if (const CircularSides sides = circular_sides(padding); sides.x || sides.y) {
    const CircularPadding zeros({});
    return without_frame(forward(with_frame(x, sides, stride, padding)), x, *this, sides);
  }
  if (winograd_.data.defined()) return winograd_conv2d(x, winograd_, bias);
  if (int8_.defined()) return forward_int8(x);
  if (pack_) return forward_packed(x);
  if (defers_) return take(forward_pending(x));
  const at::Tensor output =
      at::conv2d(x, weight, optional(bias), {stride, stride}, {padding, padding});
  return lora_b_ ? output + lora_scale_ * lora_b_->forward(lora_a_->forward(x)) : output;
}

at::Tensor Conv2dImpl::forward_add(const at::Tensor& x, const at::Tensor& addend) const {
  const CircularSides sides = circular_sides(padding);
  if (!winograd_.data.defined() || sides.x || sides.y) return take(forward_pending(x, addend));
  return winograd_conv2d(x, winograd_, bias, addend);
}

PendingSum Conv2dImpl::forward_pending(const at::Tensor& x, const at::Tensor& addend) const {
  const CircularSides sides = circular_sides(padding);
  if (!defers_ || sides.x || sides.y) return {forward(x), {}, addend};
  return {at::conv2d(x, weight, {}, {stride, stride}, {padding, padding}), bias, addend};
}

void Conv2dImpl::add_lora(std::int64_t rank, double scale) {
  lora_a_ = register_module(
      "lora_A",
      std::make_shared<Conv2dImpl>(weight.size(1), rank, weight.size(2), stride, padding, false));
  lora_b_ =
      register_module("lora_B", std::make_shared<Conv2dImpl>(rank, weight.size(0), 1, 1, 0, false));
  lora_scale_ = scale;
}

at::Tensor Conv2dImpl::forward_packed(const at::Tensor& x) const {
  if (!packed_.defined() || x.sizes() != packed_for_) {
    // The best layout depends on the size of the input; weights must stay ordinary tensors.
    // Recorded for gradients, each packing would keep the one before it.
    const c10::InferenceMode ordinary(false);
    const c10::AutoGradMode no_grad(false);
    const at::Tensor plain = packed_.defined() ? onednn_unpack(packed_) : weight;
    packed_ = onednn_pack_conv2d(plain, stride, padding, x.sizes());
    packed_for_ = x.sizes().vec();
    release(weight);
  }
  return onednn_conv2d(x, packed_, bias, stride, padding);
}

at::Tensor Conv2dImpl::forward_int8(const at::Tensor& x) const {
  const at::Tensor pixels = x.permute({0, 2, 3, 1});
  return int8_linear(pixels, int8_, weight.size(0), bias).permute({0, 3, 1, 2});
}

void Conv2dImpl::pack() {
  pack_ = onednn_serves(weight);
  defers_ = sum_serves(weight) && !lora_b_;
  if (is_unallocated(weight)) return;
  if (prefers_int8 && stride == 1 && padding == 0 && int8_serves(weight)) {
    int8_ = int8_pack_linear(weight);
    release(weight);
  } else if (stride == 1 && padding == 1 && winograd_serves(weight)) {
    winograd_ = winograd_pack(weight);
    release(weight);
  }
}

void Conv2dImpl::unpack() {
  pack_ = defers_ = false;
  winograd_ = {};
  packed_.reset();
  int8_.reset();
}

void Conv2dImpl::visit_packed(const PackedVisit& visit) {
  visit("int8", int8_);
  visit("winograd", winograd_.data);
  if (winograd_.data.defined()) winograd_ = winograd_filter(winograd_.data, weight.sizes());
}

GroupNormImpl::GroupNormImpl(std::int64_t groups, std::int64_t num_channels, double epsilon)
    : num_groups(groups), eps(epsilon) {
  weight = register_parameter("weight", unallocated({num_channels}));
  bias = register_parameter("bias", unallocated({num_channels}));
}

at::Tensor GroupNormImpl::forward(const at::Tensor& x, Activation activation,
                                  const GroupNormShifts& shifts) const {
  const bool silu = activation == get_activation("silu");
  if (packed_ && (silu || activation == nullptr) && x.dim() == 4 && norm_serves(x)) {
    return group_norm_silu(x, num_groups, weight, bias, eps, silu, shifts);
  }
  at::Tensor input = x;
  if (shifts.bias.defined()) input = input + shifts.bias.unsqueeze(-1).unsqueeze(-1);
  if (shifts.shift.defined()) {
    input = input + repeat_batch(shifts.shift, x.size(0)).unsqueeze(-1).unsqueeze(-1);
  }
  const at::Tensor normal = at::group_norm(input, num_groups, weight, bias, eps);
  return activation == nullptr ? normal : activation(normal);
}

void GroupNormImpl::pack() { packed_ = groups_serve(num_groups); }

void GroupNormImpl::unpack() { packed_ = false; }

LayerNormImpl::LayerNormImpl(std::int64_t normalized_shape, double epsilon) : eps(epsilon) {
  weight = register_parameter("weight", unallocated({normalized_shape}));
  bias = register_parameter("bias", unallocated({normalized_shape}));
}

at::Tensor LayerNormImpl::forward(const at::Tensor& x) const {
  if (packed_ && x.dim() != 4 && norm_serves(x)) return fast_layer_norm(x, weight, bias, eps);
  return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

at::Tensor LayerNormImpl::forward(PendingSum& x, bool e4m3) const {
  if (packed_ && norm_serves(x.value)) return layer_norm_of_sum(x, weight, bias, eps, e4m3);
  x = {take(x)};
  const at::Tensor y = forward(x.value);
  return e4m3 ? fp8_of(y) : y;
}

void LayerNormImpl::pack() { packed_ = true; }

void LayerNormImpl::unpack() { packed_ = false; }

EmbeddingImpl::EmbeddingImpl(std::int64_t num_embeddings, std::int64_t embedding_dim) {
  weight = register_parameter("weight", unallocated({num_embeddings, embedding_dim}));
}

at::Tensor EmbeddingImpl::forward(const at::Tensor& ids) const {
  return at::embedding(weight, ids);
}

}  // namespace ldm::nn
