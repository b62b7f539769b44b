#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "ldm/schedulers/scheduler_config.h"

namespace ldm {

/// The two noise levels that a step's noise lies between: the increment of a Brownian path over σ
/// from `from` down to `to`, divided by √(from - to).
struct NoiseInterval {
  double from;
  double to;
};

/// A noise schedule with the rule that takes a sample from one noise level to the next.
///
/// One object serves one loop at a time: set_timesteps, then for i = begin … timesteps().size()-1
/// in order: scale_model_input, the model at timesteps()[i], step. Indices always count from the
/// start of timesteps(). Samples are [B, C, H, W]; all arithmetic is fp32 on the sample's device.
/// Matches diffusers' schedulers; noise is an argument, never drawn here.
class Scheduler {
 public:
  virtual ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  const SchedulerConfig& config() const { return config_; }

  /// Plans `num_inference_steps` steps and forgets the last run; Error::usage below 1, above
  /// num_train_timesteps, or where the class itself cannot.
  virtual void set_timesteps(int num_inference_steps) = 0;

  /// The training timestep of each model call, in order (PNDM repeats its second one).
  const std::vector<double>& timesteps() const { return timesteps_; }

  /// The noise level σ = sqrt((1-ᾱ)/ᾱ) at each entry of timesteps(), and last where it ends: step i
  /// takes the sample from sigmas()[i] to sigmas()[i + 1]. +inf at zero terminal SNR for the
  /// classes that keep ᾱ = 0 there.
  const std::vector<double>& sigmas() const { return sigmas_; }

  /// What unit normal noise is multiplied by to be the first sample of txt2img.
  virtual double init_noise_sigma() const { return 1.0; }

  /// The sample as the model wants it at step i.
  virtual at::Tensor scale_model_input(const at::Tensor& sample, int i) const;

  /// Whether step i reads `noise`.
  virtual bool needs_noise(int i) const;

  /// Where step i's noise lies on one Brownian path of the whole run, as the samplers need whose
  /// noise must not depend on the number of steps; empty where fresh noise is meant.
  virtual std::optional<NoiseInterval> noise_interval(int i) const;

  /// The sample after step i. `noise` is unit normal, shaped like `sample`; read only where
  /// needs_noise(i), otherwise it may be undefined. The step at the begin index starts a new run;
  /// the others must follow in order.
  at::Tensor step(const at::Tensor& model_output, int i, const at::Tensor& sample,
                  const at::Tensor& noise = {});

  /// The clean sample that the model's output at step i amounts to, before any clipping: for
  /// previews. `sample` is the one that the model saw, unscaled.
  virtual at::Tensor estimate_x0(const at::Tensor& model_output, int i,
                                 const at::Tensor& sample) const;

  /// `original` with noise at the level of timesteps()[i].
  virtual at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise,
                               int i) const = 0;

  /// Entries of timesteps() per step; the last step may have one alone.
  virtual int order() const { return 1; }

  /// The index at which img2img at `strength` in [0, 1] starts: the last int(steps · strength)
  /// steps are left (diffusers' `get_timesteps`). Sets the begin index.
  virtual int begin_at_strength(double strength);

  /// The index at which the loop starts (img2img), 0 after set_timesteps.
  void set_begin_index(int i);
  int begin_index() const { return begin_index_; }

 protected:
  explicit Scheduler(const SchedulerConfig& config) : config_(config) {}

  /// Error::usage unless 1 <= num_inference_steps <= num_train_timesteps; begin index back to 0.
  void start_plan(int num_inference_steps);
  /// Forgets what earlier steps left behind.
  virtual void reset() {}
  /// `step` on fp32 tensors, i checked, noise defined where needed.
  virtual at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                               const at::Tensor& noise) = 0;

  SchedulerConfig config_;
  std::vector<double> timesteps_;
  std::vector<double> sigmas_;
  int num_inference_steps_ = 0;

 private:
  int begin_index_ = 0;
  int next_index_ = 0;
};

}  // namespace ldm
