#include "ldm/nn/batch_norm.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "ldm/nn/layers.h"

namespace ldm::nn {

BatchNorm2dImpl::BatchNorm2dImpl(std::int64_t num_features, double epsilon, double rate)
    : eps(epsilon), momentum(rate) {
  weight = register_parameter("weight", unallocated({num_features}));
  bias = register_parameter("bias", unallocated({num_features}));
  running_mean = register_buffer("running_mean", at::zeros({num_features}));
  running_var = register_buffer("running_var", at::ones({num_features}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

at::Tensor BatchNorm2dImpl::forward(const at::Tensor& x) const {
  if (is_training()) {
    const c10::AutoGradMode no_grad(false);
    num_batches_tracked.add_(1);
  }
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), momentum, eps,
                        /*cudnn_enabled=*/true);
}

}  // namespace ldm::nn
