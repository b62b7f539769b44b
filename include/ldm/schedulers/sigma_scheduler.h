#pragma once

#include <span>
#include <vector>

#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/scheduler.h"
#include "ldm/schedulers/sigma_spacing.h"

namespace ldm {

/// What the classes of Karras et al. 2022 share (Euler, Euler a, Heun, …): samples x_0 + σ ε,
/// fractional timesteps, a model that wants x_σ / √(σ²+1).
class SigmaScheduler : public Scheduler {
 public:
  SigmaScheduler(const SchedulerConfig& config, const ScheduleChoice& choice);

  void set_timesteps(int num_inference_steps) override;
  /// √(σ_max²+1) with leading spacing, else σ_max.
  double init_noise_sigma() const override;
  at::Tensor scale_model_input(const at::Tensor& sample, int i) const override;
  /// original + σ_i noise.
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override;

 protected:
  /// `count` levels as config and caller want them, and where they end: one σ more than timesteps.
  NoiseLevels planned_levels(int count) const;
  /// Makes timesteps_ and sigmas_, one entry a model call, of the levels; here one call a level.
  virtual void arrange(const NoiseLevels& levels);

  float sigma(int i) const { return static_cast<float>(sigmas_[static_cast<std::size_t>(i)]); }
  /// x_0 from the model's output at step i.
  at::Tensor predict_x0(const at::Tensor& model_output, int i, const at::Tensor& sample) const;
  PredictionType prediction_type() const { return prediction_type_; }
  std::span<const float> training_levels() const { return training_sigmas_; }
  const ScheduleChoice& choice() const { return choice_; }

 private:
  NoiseLevels styled(SigmaSpacing spacing, int count) const;
  std::vector<double> interpolated_sigmas(const std::vector<double>& timesteps) const;

  ScheduleChoice choice_;
  PredictionType prediction_type_;
  std::vector<float> training_sigmas_;
};

/// `config` without the fields that EulerDiscreteScheduler has and its relatives have not.
SchedulerConfig plain_levels(const SchedulerConfig& config);

/// How a step is split so that fresh noise brings the sample from `down` back to the next level
/// (k-diffusion's get_ancestral_step): down² + up² = to². fp32 as in all public code, whose
/// rounding shows where `to` is far below `from`.
struct AncestralStep {
  float down;
  float up;
};
AncestralStep ancestral_step(float from, float to);

/// `down`, or where fp32 left nothing of it, from a level far above, what it is: to² / from.
float down_or_exact(float down, float from, float to);

}  // namespace ldm
