#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ldm/kernels/fp8_linear.h"
#include "ldm/kernels/norm.h"
#include "ldm/kernels/sum.h"
#include "ldm/kernels/winograd.h"
#include "ldm/nn/activation.h"

namespace ldm::nn {

/// Told of tensors that packing made, by a name within their layer; may set them.
using PackedVisit = std::function<void(const char* name, at::Tensor& tensor)>;

/// A parameter that has a shape but no storage of its own: a placeholder until weights are loaded
/// (`set_data`) or `nn/init` fills it. Building a full-size model therefore costs no memory.
at::Tensor unallocated(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat);

/// Whether `parameter` still is such a placeholder.
bool is_unallocated(const at::Tensor& parameter);

/// The rows of x [B, ...] repeated to `batch` rows, all of them over and over; x itself where it
/// has as many. Keeps the memory format. `batch` is a multiple of B.
at::Tensor repeat_batch(const at::Tensor& x, std::int64_t batch);

/// y = x Wᵀ + b. x [..., in] → [..., out]. torch.nn.Linear's names and shapes, no random init.
struct LinearImpl : torch::nn::Module {
  LinearImpl(std::int64_t in_features, std::int64_t out_features, bool bias = true);
  at::Tensor forward(const at::Tensor& x) const;
  /// forward(x) + addend, added where it is read next. addend [..., out] or undefined.
  PendingSum forward_pending(const at::Tensor& x, const at::Tensor& addend = {}) const;
  void pack();                                     ///< see nn/pack.h
  void unpack();                                   ///< see nn/pack.h
  void visit_packed(const PackedVisit& visit);     ///< see nn/pack.h
  void add_lora(std::int64_t rank, double scale);  ///< see nn/lora.h
  /// Lets the weight's storage go, because another layer computes with it.
  void let_go();
  /// Whether it was packed to take x in e4m3, as `fp8_of` rounds.
  bool reads_fp8() const { return fp8_.values.defined(); }

  at::Tensor weight;          ///< [out, in]
  at::Tensor bias;            ///< [out], undefined without bias
  bool prefers_int8 = false;  ///< see nn/pack.h
  bool prefers_fp8 = false;   ///< see nn/pack.h

 private:
  at::Tensor packed_;
  at::Tensor int8_;
  Fp8Weight fp8_;
  bool defers_ = false;  ///< the bias, in `forward_pending`
  std::shared_ptr<LinearImpl> lora_a_;
  std::shared_ptr<LinearImpl> lora_b_;
  double lora_scale_ = 1.0;
};
TORCH_MODULE(Linear);

/// 2-D cross-correlation. x [B, in, H, W] → [B, out, H', W']. torch.nn.Conv2d's names and shapes.
struct Conv2dImpl : torch::nn::Module {
  Conv2dImpl(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
             std::int64_t stride = 1, std::int64_t padding = 0, bool bias = true);
  at::Tensor forward(const at::Tensor& x) const;
  /// forward(x) + addend, in one pass where there is a kernel for it. addend [B, out, H', W'].
  at::Tensor forward_add(const at::Tensor& x, const at::Tensor& addend) const;
  /// forward(x) + addend, added where it is read next. addend [B, out, H', W'] or undefined.
  PendingSum forward_pending(const at::Tensor& x, const at::Tensor& addend = {}) const;
  void pack();                                     ///< see nn/pack.h
  void unpack();                                   ///< see nn/pack.h
  void visit_packed(const PackedVisit& visit);     ///< see nn/pack.h
  void add_lora(std::int64_t rank, double scale);  ///< see nn/lora.h

  at::Tensor weight;  ///< [out, in, k, k]
  at::Tensor bias;    ///< [out], undefined without bias
  std::int64_t stride;
  std::int64_t padding;
  bool prefers_int8 = false;  ///< see nn/pack.h

 private:
  at::Tensor forward_packed(const at::Tensor& x) const;
  at::Tensor forward_int8(const at::Tensor& x) const;

  at::Tensor int8_;
  bool pack_ = false;
  bool defers_ = false;        ///< the bias, in `forward_pending`
  WinogradFilter winograd_;    ///< where that serves
  mutable at::Tensor packed_;  ///< for inputs of `packed_for_`; made at the first forward
  mutable std::vector<std::int64_t> packed_for_;
  std::shared_ptr<Conv2dImpl> lora_a_;
  std::shared_ptr<Conv2dImpl> lora_b_;
  double lora_scale_ = 1.0;
};
TORCH_MODULE(Conv2d);

/// Group normalisation with affine parameters (Wu & He 2018) of x + shifts, then the activation.
/// x [B, C, ...] → same shape and dtype as x; statistics in fp32 whatever the dtype of x.
struct GroupNormImpl : torch::nn::Module {
  GroupNormImpl(std::int64_t num_groups, std::int64_t num_channels, double eps);
  at::Tensor forward(const at::Tensor& x, Activation activation = nullptr,
                     const GroupNormShifts& shifts = {}) const;
  void pack();    ///< see nn/pack.h
  void unpack();  ///< see nn/pack.h

  at::Tensor weight;  ///< [C]
  at::Tensor bias;    ///< [C]
  std::int64_t num_groups;
  double eps;

 private:
  bool packed_ = false;
};
TORCH_MODULE(GroupNorm);

/// Layer normalisation over the last dimension. x [..., D] → same shape and dtype.
struct LayerNormImpl : torch::nn::Module {
  explicit LayerNormImpl(std::int64_t normalized_shape, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;
  /// Of a sum, which is taken on the way: then `x` is its value alone. In e4m3 where that is asked.
  at::Tensor forward(PendingSum& x, bool e4m3 = false) const;
  void pack();    ///< see nn/pack.h
  void unpack();  ///< see nn/pack.h

  at::Tensor weight;  ///< [D]
  at::Tensor bias;    ///< [D]
  double eps;

 private:
  bool packed_ = false;
};
TORCH_MODULE(LayerNorm);

/// Row look-up. ids [...] int64 → [..., D].
struct EmbeddingImpl : torch::nn::Module {
  EmbeddingImpl(std::int64_t num_embeddings, std::int64_t embedding_dim);
  at::Tensor forward(const at::Tensor& ids) const;

  at::Tensor weight;  ///< [N, D]
};
TORCH_MODULE(Embedding);

}  // namespace ldm::nn
