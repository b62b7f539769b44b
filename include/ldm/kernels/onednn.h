#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ldm {

/// Whether oneDNN's packed kernels can serve tensors of this device and dtype here: CPU with fp32,
/// or bf16 where the CPU has instructions for it.
bool onednn_serves(const at::Tensor& tensor);

/// A linear layer's weight [out, in] in the blocked layout that oneDNN computes with. The result is
/// opaque: only `onednn_linear` can read it.
at::Tensor onednn_pack_linear(const at::Tensor& weight);

/// y = x Wᵀ + b over a packed weight; x [..., in] → [..., out]. Reference: at::linear.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias);

/// As above plus `other` [..., out] in one pass. Reference: at::linear(x, w, b) + other.
at::Tensor onednn_linear_add(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                             const at::Tensor& other);

/// As above times `other` [..., out]. Reference: at::linear(x, w, b) * other.
at::Tensor onednn_linear_mul(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                             const at::Tensor& other);

/// y = gelu(x Wᵀ + b), the exact gelu. Reference: at::gelu(at::linear(x, w, b)).
at::Tensor onednn_linear_gelu(const at::Tensor& x, const at::Tensor& packed,
                              const at::Tensor& bias);

/// A convolution's weight [out, in, k, k] in the blocked layout that is best for inputs of
/// `input_size` [B, in, H, W]. Other sizes give the same numbers, but may rearrange it at every
/// call.
at::Tensor onednn_pack_conv2d(const at::Tensor& weight, std::int64_t stride, std::int64_t padding,
                              at::IntArrayRef input_size);

/// The plain weight that was packed.
at::Tensor onednn_unpack(const at::Tensor& packed);

/// Cross-correlation over a packed weight. x [B, in, H, W] → [B, out, H', W'], channels_last.
/// Reference: at::conv2d.
at::Tensor onednn_conv2d(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                         std::int64_t stride, std::int64_t padding);

/// A packed weight in parts, to be kept outside of the process.
struct OnednnPacked {
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  std::vector<std::uint8_t> layout;   ///< as this build of oneDNN describes it
  std::span<const std::byte> memory;  ///< the tensor's own
};
OnednnPacked onednn_parts(const at::Tensor& packed);

/// The packed weight of such parts, over their memory, which must outlive it and is only read.
at::Tensor onednn_from_parts(const OnednnPacked& parts);

}  // namespace ldm
