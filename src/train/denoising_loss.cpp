#include "ldm/train/denoising_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp_max.h>
#include <ATen/ops/ones_like.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/noise_schedule.h"

namespace ldm::train {
namespace {

/// [B] → [B, 1, 1, 1]
at::Tensor per_sample(const at::Tensor& values) { return values.view({-1, 1, 1, 1}); }

}  // namespace

DiffusionProcess::DiffusionProcess(const SchedulerConfig& config)
    : prediction_type_(config.prediction_type) {
  const std::vector<std::string> known = {"epsilon", "v_prediction", "sample"};
  if (std::find(known.begin(), known.end(), prediction_type_) == known.end()) {
    throw Error::model(cat("cannot train prediction_type \"", prediction_type_, "\""),
                       did_you_mean(prediction_type_, known));
  }
  at::Tensor betas = make_betas(config);
  alphas_cumprod_ = make_alphas_cumprod(betas);
}

at::Tensor DiffusionProcess::add_noise(const at::Tensor& x0, const at::Tensor& noise,
                                       const at::Tensor& timesteps) const {
  const at::Tensor alpha = per_sample(alphas_cumprod_.to(x0.device()).index_select(0, timesteps));
  return alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise;
}

at::Tensor DiffusionProcess::target(const at::Tensor& x0, const at::Tensor& noise,
                                    const at::Tensor& timesteps) const {
  if (prediction_type_ == "epsilon") return noise;
  if (prediction_type_ == "sample") return x0;
  const at::Tensor alpha = per_sample(alphas_cumprod_.to(x0.device()).index_select(0, timesteps));
  return alpha.sqrt() * noise - (1 - alpha).sqrt() * x0;
}

at::Tensor DiffusionProcess::weights(const at::Tensor& timesteps, double gamma) const {
  const at::Tensor alpha = alphas_cumprod_.to(timesteps.device()).index_select(0, timesteps);
  if (gamma == 0) return at::ones_like(alpha);
  const at::Tensor snr = alpha / (1 - alpha);
  const at::Tensor clipped = at::clamp_max(snr, gamma);
  if (prediction_type_ == "epsilon") return clipped / snr;
  return prediction_type_ == "sample" ? clipped : clipped / (snr + 1);
}

at::Tensor denoising_loss(const at::Tensor& prediction, const at::Tensor& target,
                          const at::Tensor& weights) {
  const at::Tensor error = (prediction.to(at::kFloat) - target).square().mean({1, 2, 3});
  return (weights * error).mean();
}

}  // namespace ldm::train
