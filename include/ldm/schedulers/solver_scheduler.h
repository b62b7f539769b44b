#pragma once

#include <span>
#include <vector>

#include "ldm/schedulers/dpm_solver.h"
#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/scheduler.h"
#include "ldm/schedulers/sigma_spacing.h"

namespace ldm {

/// What the multistep solvers in log-SNR share (DPM-Solver++, UniPC, DEIS): variance-preserving
/// samples, whole timesteps, a history of model outputs.
class SolverScheduler : public Scheduler {
 public:
  void set_timesteps(int num_inference_steps) override;
  /// α_i original + σ_i noise.
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override;

 protected:
  SolverScheduler(const SchedulerConfig& config, const ScheduleChoice& choice);

  SolverLevel level(int i) const;
  /// x_0 from the model's output at step i, thresholded if the config says so.
  at::Tensor x0_at(const at::Tensor& model_output, int i, const at::Tensor& sample) const;
  at::Tensor threshold(const at::Tensor& x0) const;
  /// `order`, or less where a level that rounding repeats (linspace at count = T) allows no slope
  /// across it.
  int usable_order(int i, int order) const;
  PredictionType prediction_type() const { return prediction_type_; }
  const ScheduleChoice& choice() const { return choice_; }
  std::span<const float> training_levels() const { return training_sigmas_; }

  /// Training timesteps that are used.
  virtual int last_timestep() const { return config_.num_train_timesteps; }
  /// Whether timesteps of Karras' and like levels are rounded; the fraction is cut off otherwise.
  virtual bool rounds_timesteps() const { return true; }
  /// Where a run ends that makes its last call at `last`.
  virtual double end_sigma(SigmaSpacing spacing, double last) const;

 private:
  NoiseLevels planned_levels(int count, SigmaSpacing spacing) const;

  ScheduleChoice choice_;
  PredictionType prediction_type_;
  std::vector<float> training_sigmas_;
};

}  // namespace ldm
