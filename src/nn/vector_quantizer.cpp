#include "ldm/nn/vector_quantizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/argmin.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "ldm/nn/attention.h"

namespace ldm::nn {
namespace {

constexpr std::int64_t kDistances = std::int64_t{1} << 22;  // held at a time

/// vectors [N, C], codes [K, C], both fp32 → [N] int64.
at::Tensor nearest(const at::Tensor& vectors, const at::Tensor& codes) {
  // |v - c|² = |v|² + 2 (|c|² / 2 - v·c), and |v|² is the same for all codes.
  const at::Tensor half_norms = codes.square().sum(1) / 2;
  const at::Tensor transposed = codes.t();
  const std::int64_t step = std::max<std::int64_t>(1, kDistances / codes.size(0));
  at::Tensor indices = at::empty({vectors.size(0)}, vectors.options().dtype(at::kLong));
  for (std::int64_t first = 0; first < vectors.size(0); first += step) {
    const std::int64_t count = std::min(step, vectors.size(0) - first);
    const at::Tensor distances =
        at::addmm(half_norms, vectors.narrow(0, first, count), transposed, 1, -1);
    indices.narrow(0, first, count).copy_(at::argmin(distances, 1));
  }
  return indices;
}

}  // namespace

VectorQuantizerImpl::VectorQuantizerImpl(std::int64_t num_embeddings, std::int64_t embedding_dim) {
  embedding = register_module("embedding", Embedding(num_embeddings, embedding_dim));
}

Quantized VectorQuantizerImpl::quantize(const at::Tensor& z) const {
  const at::Tensor vectors = to_tokens(z).flatten(0, 1).to(at::kFloat);
  const at::Tensor indices =
      nearest(vectors, embedding->weight.to(at::kFloat)).view({z.size(0), z.size(2) * z.size(3)});
  const at::Tensor codes = from_tokens(embedding->forward(indices), z).to(z.scalar_type());
  // z - z is 0, or NaN where z is not finite: a broken latent must not become a clean code.
  return {codes + (z - z), indices.view({z.size(0), z.size(2), z.size(3)})};
}

}  // namespace ldm::nn
