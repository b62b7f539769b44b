#pragma once

#include <utility>

#include "ldm/schedulers/sigma_scheduler.h"

namespace ldm {

/// What the second-order classes share that call the model twice a step: at the step's level, and
/// at a second one that the first call leads to. The last step, to σ = 0, has one call: 2N - 1 in
/// all.
class TwoCallScheduler : public SigmaScheduler {
 public:
  int order() const override { return 2; }

 protected:
  using SigmaScheduler::SigmaScheduler;

  /// Whether the second call is at the step's end, at that level's own timestep.
  virtual bool second_at_end() const { return false; }
  /// The level of a step's second call.
  virtual double second_level(double from, double to) const = 0;
  void arrange(const NoiseLevels& levels) override;
  /// `levels` with whole timesteps where they are Karras', as the KDPM2 classes have them.
  NoiseLevels karras_rounded(NoiseLevels levels) const;
  void reset() override { first_ = {}; }

  /// The first call of a step, from sigma(i) to `to`; the second is index i + 1.
  bool is_first(int i) const { return i % 2 == 0; }
  /// The level at which the step of call i begins.
  float from(int i) const { return sigma(is_first(i) ? i : i - 1); }
  /// The level at which the step of call i ends.
  float to(int i) const;
  /// Whether the step of call i has no second call.
  bool is_last(int i) const { return is_first(i) && i + 2 == static_cast<int>(sigmas_.size()); }

  /// What a step's first call leaves for its second: the sample it began with and a tensor of the
  /// class's own. Error::internal for a second call without its first.
  void keep(const at::Tensor& sample, const at::Tensor& own) { first_ = {sample, own}; }
  const std::pair<at::Tensor, at::Tensor>& first() const;

 private:
  std::pair<at::Tensor, at::Tensor> first_;
};

/// √(from · to), the middle in log σ.
double log_middle(double from, double to);

/// diffusers' defaults of the two-call classes.
SchedulerConfig two_call_defaults();

}  // namespace ldm
