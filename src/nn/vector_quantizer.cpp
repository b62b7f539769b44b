#include "ldm/nn/vector_quantizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/argmin.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gather.h>

#include <algorithm>
#include <limits>

#include "ldm/nn/attention.h"

namespace ldm::nn {
namespace {

constexpr std::int64_t kDistances = std::int64_t{1} << 22;  // held at a time
constexpr std::int64_t kBlock = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The first least of each row. distances [N, K], K a multiple of kBlock → [N] int64.
at::Tensor first_least(const at::Tensor& distances) {
  // ATen's argmin goes number by number and its amin by vectors: so first the block, then within.
  const at::Tensor blocks = distances.view({distances.size(0), -1, kBlock});
  const at::Tensor block = at::argmin(at::amin(blocks, 2), 1, true);
  const at::Tensor index = block.unsqueeze(2).expand({-1, 1, kBlock});
  const at::Tensor within = at::argmin(at::gather(blocks, 1, index).squeeze(1), 1);
  return block.squeeze(1) * kBlock + within;
}

/// vectors [N, C], codes [K, C], both fp32 → [N] int64.
at::Tensor nearest(const at::Tensor& vectors, const at::Tensor& codes) {
  // |v - c|² = |v|² + 2 (|c|² / 2 - v·c), and |v|² is the same for all codes. Codes are filled up
  // to whole blocks with ones infinitely far away.
  const std::int64_t padding = (kBlock - codes.size(0) % kBlock) % kBlock;
  const at::Tensor half_norms =
      at::constant_pad_nd(codes.square().sum(1) / 2, {0, padding}, kInfinity);
  const at::Tensor transposed = at::constant_pad_nd(codes.t(), {0, padding}, 0);
  const std::int64_t step = std::max<std::int64_t>(1, kDistances / half_norms.size(0));
  at::Tensor indices = at::empty({vectors.size(0)}, vectors.options().dtype(at::kLong));
  for (std::int64_t first = 0; first < vectors.size(0); first += step) {
    const std::int64_t count = std::min(step, vectors.size(0) - first);
    indices.narrow(0, first, count)
        .copy_(
            first_least(at::addmm(half_norms, vectors.narrow(0, first, count), transposed, 1, -1)));
  }
  // A vector that is not finite is as near to the filling as to anything.
  return indices.clamp_max(codes.size(0) - 1);
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
