#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm::train {

/// The forward process of a noise schedule and what a denoiser learns to say about it.
class DiffusionProcess {
 public:
  /// Takes the schedule and prediction_type (epsilon, v_prediction or sample) of a scheduler's
  /// config; Error::model for another type.
  explicit DiffusionProcess(const SchedulerConfig& config);

  /// x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε. x0 and noise [B, C, h, w]; timesteps [B] int64 in [0, T).
  /// Source: Ho et al. 2020, eq. 4; diffusers' `add_noise`.
  at::Tensor add_noise(const at::Tensor& x0, const at::Tensor& noise,
                       const at::Tensor& timesteps) const;

  /// What the denoiser should answer: ε, v = √ᾱ ε - √(1-ᾱ) x_0 (Salimans & Ho 2022, appendix D;
  /// diffusers' `get_velocity`), or x_0. Shapes as above.
  at::Tensor target(const at::Tensor& x0, const at::Tensor& noise,
                    const at::Tensor& timesteps) const;

  /// Min-SNR-γ weights of the squared error of that answer, [B]: min(SNR, γ) over SNR for ε, over
  /// SNR + 1 for v, over 1 for x_0 (Hang et al. 2023, eq. 9); all 1 for γ = 0.
  at::Tensor weights(const at::Tensor& timesteps, double gamma) const;

  std::int64_t num_train_timesteps() const { return alphas_cumprod_.size(0); }

 private:
  std::string prediction_type_;
  at::Tensor alphas_cumprod_;  ///< [T] fp32
};

/// mean_b w_b · mean |prediction - target|². prediction [B, C, h, w] of any dtype → [] fp32.
at::Tensor denoising_loss(const at::Tensor& prediction, const at::Tensor& target,
                          const at::Tensor& weights);

}  // namespace ldm::train
