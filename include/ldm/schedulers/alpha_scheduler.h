#pragma once

#include <vector>

#include "ldm/schedulers/prediction.h"
#include "ldm/schedulers/schedule_choice.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

/// What the classes that work in ᾱ at whole timesteps share (DDIM, DDPM, PNDM, LCM, TCD).
class AlphaScheduler : public Scheduler {
 public:
  void set_timesteps(int num_inference_steps) override;
  /// √ᾱ_t original + √(1-ᾱ_t) noise (Ho et al. 2020, eq. 4).
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override;

 protected:
  /// `ends_at_one`: the last step ends at ᾱ = 1, else at ᾱ_0.
  AlphaScheduler(const SchedulerConfig& config, bool ends_at_one,
                 const ScheduleChoice& choice = {});

  /// The timesteps of a run in the class's own way, falling, whole and inside the table; here as
  /// config.timestep_spacing says.
  virtual std::vector<double> own_timesteps(int count) const;
  /// Whether the timesteps are the caller's, so that their distances tell nothing.
  bool chosen_timesteps() const { return choice_.listed() || choice_.name != "default"; }
  /// ᾱ_t; of any t < 0 what the last step ends at.
  float alpha_cumprod(int t) const;
  int timestep(int i) const { return static_cast<int>(timesteps_[static_cast<std::size_t>(i)]); }
  /// The timestep after step i, -1 after the last.
  int next_timestep(int i) const;
  bool is_last(int i) const { return i + 1 == static_cast<int>(timesteps_.size()); }
  PredictionType prediction_type() const { return prediction_type_; }

 private:
  std::vector<double> chosen(int count) const;
  /// Fills sigmas_ from timesteps_.
  void derive_sigmas();

  ScheduleChoice choice_;
  PredictionType prediction_type_;
  std::vector<float> alphas_cumprod_;
  float final_alpha_cumprod_;
};

}  // namespace ldm
