#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ldm {

/// Keys and values of an attention in the layout that its kernel reads; made once, read by any
/// number of queries.
struct PackedKeyValue {
  at::Tensor words;  ///< opaque; undefined: nothing was packed
  at::ScalarType dtype = at::kFloat;
  std::int64_t batch = 0;   ///< B
  std::int64_t heads = 0;   ///< H
  std::int64_t length = 0;  ///< S
  std::int64_t dim = 0;     ///< D
};

/// Whether `attention` has a kernel of its own for tensors of this device and dtype here: fp32 with
/// AVX2 or AVX-512, bf16 with AVX512-BF16.
bool attention_serves(const at::Tensor& query);

/// Packs key and value [B, H, S, D], of any strides but with D contiguous.
PackedKeyValue pack_key_value(const at::Tensor& key, const at::Tensor& value);

/// softmax(Q Kᵀ / √D) V, its scores never held in memory as a whole. query [B, H, N, D], of any
/// strides but with D contiguous → [B, H, N, D], a view of [B, N, H, D]. Sums in fp32; weights are
/// rounded to the query's dtype before they meet V.
/// Source: Dao et al. 2022 (FlashAttention), algorithm 1. Reference:
/// at::scaled_dot_product_attention.
at::Tensor attention(const at::Tensor& query, const PackedKeyValue& context);

/// The same over plain keys and values [B, H, S, D].
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value);

}  // namespace ldm
