#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// What the model's output means, with x_t = α x_0 + σ ε, α = √ᾱ_t, σ = √(1-ᾱ_t).
enum class PredictionType {
  kEpsilon,      ///< ε
  kVPrediction,  ///< v = α ε - σ x_0 (Salimans & Ho 2022, appendix D)
  kSample,       ///< x_0
};

/// The type that prediction_type names; Error::model for another name.
PredictionType parse_prediction_type(const std::string& name);

/// x_0 from the model's output at level (alpha, sigma). Tensors [B, C, H, W] fp32 → same.
at::Tensor predict_x0(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                      float alpha, float sigma);

/// ε from the model's output at level (alpha, sigma). Tensors [B, C, H, W] fp32 → same.
at::Tensor predict_epsilon(PredictionType type, const at::Tensor& model_output,
                           const at::Tensor& sample, float alpha, float sigma);

/// x_0 from the model's output where x_σ = x_0 + σ ε and the model saw x_σ / √(σ²+1) (Karras et al.
/// 2022, eq. 7). `sample` is x_σ.
at::Tensor predict_x0_at_sigma(PredictionType type, const at::Tensor& model_output,
                               const at::Tensor& sample, float sigma);

/// Dynamic thresholding: per image, s = the `ratio` quantile of |x_0| clamped to [1, max_value];
/// x_0 clamped to ±s, then divided by s (Saharia et al. 2022, §2.3). x0 [B, ...] fp32 → same.
at::Tensor threshold_sample(const at::Tensor& x0, double ratio, double max_value);

/// x_0 thresholded, clipped or left alone, as config.thresholding and config.clip_sample say.
at::Tensor limit_x0(const SchedulerConfig& config, const at::Tensor& x0);

}  // namespace ldm
