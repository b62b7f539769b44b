#pragma once

#include <vector>

#include "ldm/schedulers/scheduler.h"

namespace ldm {

/// What the classes that work in ᾱ at whole timesteps share (DDIM, DDPM, PNDM).
class AlphaScheduler : public Scheduler {
 public:
  /// √ᾱ_t original + √(1-ᾱ_t) noise (Ho et al. 2020, eq. 4).
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int i) const override;

 protected:
  /// `ends_at_one`: the last step ends at ᾱ = 1, else at ᾱ_0.
  AlphaScheduler(const SchedulerConfig& config, bool ends_at_one);

  /// `count` whole timesteps, falling, all inside the table.
  std::vector<double> whole_timesteps(int count) const;
  /// Fills sigmas_ from timesteps_.
  void derive_sigmas();
  /// ᾱ_t; of any t < 0 what the last step ends at.
  float alpha_cumprod(int t) const;
  int timestep(int i) const { return static_cast<int>(timesteps_[static_cast<std::size_t>(i)]); }

 private:
  std::vector<float> alphas_cumprod_;
  float final_alpha_cumprod_;
};

}  // namespace ldm
