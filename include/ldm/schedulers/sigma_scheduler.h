#pragma once

#include <vector>

#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

/// What the classes of Karras et al. 2022 share (Euler, Euler a): samples x_0 + σ ε, fractional
/// timesteps, a model that wants x_σ / √(σ²+1).
class SigmaScheduler : public Scheduler {
 public:
  void set_timesteps(int num_inference_steps) override;
  /// √(σ_max²+1) with leading spacing, else σ_max.
  double init_noise_sigma() const override;
  at::Tensor scale_model_input(const at::Tensor& sample, int i) const override;
  /// original + σ_i noise.
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override;

 protected:
  explicit SigmaScheduler(const SchedulerConfig& config);

  float sigma(int i) const { return static_cast<float>(sigmas_[static_cast<std::size_t>(i)]); }
  /// x_0 from the model's output at step i.
  at::Tensor predict_x0(const at::Tensor& model_output, int i, const at::Tensor& sample) const;
  PredictionType prediction_type() const { return prediction_type_; }

 private:
  std::vector<double> interpolated_sigmas(const std::vector<double>& timesteps) const;

  PredictionType prediction_type_;
  std::vector<float> training_sigmas_;
};

}  // namespace ldm
