#include "ldm/nn/embeddings.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sin.h>

#include <cmath>

#include "ldm/core/error.h"

namespace ldm::nn {

at::Tensor get_timestep_embedding(const at::Tensor& timesteps, std::int64_t embedding_dim,
                                  bool flip_sin_to_cos, std::int64_t freq_shift) {
  constexpr double kMaxPeriod = 10000.0;
  const std::int64_t half_dim = embedding_dim / 2;
  const at::Tensor exponent =
      at::arange(half_dim, timesteps.options().dtype(at::kFloat)) * -std::log(kMaxPeriod);
  const at::Tensor frequencies = at::exp(exponent / static_cast<double>(half_dim - freq_shift));
  const at::Tensor angles = timesteps.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  const at::Tensor sines = at::sin(angles);
  const at::Tensor cosines = at::cos(angles);
  const at::Tensor embedding =
      flip_sin_to_cos ? at::cat({cosines, sines}, 1) : at::cat({sines, cosines}, 1);
  return embedding_dim % 2 == 0 ? embedding : at::constant_pad_nd(embedding, {0, 1}, 0);
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(const TimestepEmbeddingOptions& options)
    : act_(get_activation(options.act_fn)),
      post_act_(options.post_act_fn ? get_activation(*options.post_act_fn) : nullptr) {
  const std::int64_t dim = options.time_embed_dim;
  if (options.cond_proj_dim != 0) {
    cond_proj =
        register_module("cond_proj", Linear(options.cond_proj_dim, options.in_channels, false));
  }
  linear_1 = register_module("linear_1", Linear(options.in_channels, dim));
  linear_2 = register_module("linear_2", Linear(dim, dim));
}

at::Tensor TimestepEmbeddingImpl::forward(const at::Tensor& sample,
                                          const at::Tensor& condition) const {
  if (condition.defined() && !cond_proj) {
    throw Error::internal("a guidance embedding was given to a model without time_cond_proj_dim");
  }
  const at::Tensor input = condition.defined() ? sample + cond_proj->forward(condition) : sample;
  const at::Tensor output = linear_2->forward(act_(linear_1->forward(input)));
  return post_act_ == nullptr ? output : post_act_(output);
}

}  // namespace ldm::nn
