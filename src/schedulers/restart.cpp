#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/schedulers/samplers.h"
#include "ldm/schedulers/two_call_scheduler.h"

namespace ldm {
namespace {

// The public tools' choice for Stable Diffusion: where a restart leads from and to, and how many of
// the steps it takes.
constexpr double kRestartFrom = 0.1;
constexpr double kRestartTo = 2.0;
constexpr int kLeastSteps = 20;
constexpr int kStepsForTwo = 36;
constexpr int kFewRestartSteps = 9;

/// The level of a model call that is nearest to σ.
std::size_t nearest(const NoiseLevels& levels, double sigma) {
  const std::vector<double>& sigmas = levels.sigmas;
  const auto closer = [sigma](double a, double b) {
    return std::abs(a - sigma) < std::abs(b - sigma);
  };
  return static_cast<std::size_t>(std::min_element(sigmas.begin(), sigmas.end() - 1, closer) -
                                  sigmas.begin());
}

/// Heun's method that, once near the end, adds noise up to a higher level again and comes down from
/// there anew, once or twice (Xu et al. 2023, Algorithm 2). Its steps, repeated ones included, are
/// as many as are asked for; below 20 it is Heun's method.
class RestartScheduler : public TwoCallScheduler {
 public:
  using TwoCallScheduler::TwoCallScheduler;

  void set_timesteps(int num_inference_steps) override {
    start_plan(num_inference_steps);
    times_ = num_inference_steps < kLeastSteps ? 0 : num_inference_steps < kStepsForTwo ? 1 : 2;
    each_ = times_ < 2 ? kFewRestartSteps : num_inference_steps / 4;
    main_ = planned_levels(num_inference_steps - times_ * each_);
    if (nearest(main_, kRestartTo) >= nearest(main_, kRestartFrom)) {
      times_ = 0;
      main_ = planned_levels(num_inference_steps);
    }
    plan_from(0);
  }

  bool needs_noise(int i) const override {
    return !is_last_of_all(i) && sigma(i + 1) > step_end(i);
  }

  /// Strength counts the steps without the repeated ones; a restart leads no higher than where
  /// image to image begins.
  int begin_at_strength(double strength) override {
    const auto steps = static_cast<int>(main_.timesteps.size());
    const int kept = std::min(static_cast<int>(steps * strength), steps);
    plan_from(static_cast<std::size_t>(steps - kept));
    set_begin_index(kept == 0 ? static_cast<int>(timesteps_.size()) : 2 * (steps - kept));
    return begin_index();
  }

 protected:
  double second_level(double, double to) const override { return to; }

  at::Tensor step_fp32(const at::Tensor& model_output, int i, const at::Tensor& sample,
                       const at::Tensor& noise) override {
    const at::Tensor slope = (sample - predict_x0(model_output, i, sample)) / sigma(i);
    if (is_first(i)) {
      keep(sample, slope);
      return sample + slope * (sigma(i + 1) - sigma(i));
    }
    const auto& [start, first_slope] = first();
    const float end = step_end(i);
    const at::Tensor next = start + (first_slope + slope) / 2 * (end - sigma(i - 1));
    if (!needs_noise(i)) return next;
    const double again = sigma(i + 1);
    return next + noise * std::sqrt(again * again - static_cast<double>(end) * end);
  }

 private:
  bool is_last_of_all(int i) const { return i + 1 == static_cast<int>(timesteps_.size()); }
  /// Where the step of call i leads before any restart.
  float step_end(int i) const { return is_first(i) ? sigma(i + 1) : sigma(i); }

  struct Level {
    double sigma;
    double timestep;
  };

  /// The calls of a run that begins at main level `first`.
  void plan_from(std::size_t first) {
    timesteps_.clear();
    sigmas_.clear();
    const std::size_t low = nearest(main_, kRestartFrom);
    const std::size_t high = std::max(nearest(main_, kRestartTo), first);
    for (std::size_t k = 0; k < main_.timesteps.size(); ++k) {
      if (k == low && high < low) {
        for (int time = 0; time < times_; ++time) add_restart(high, low);
      }
      add_step(main_level(k), k + 1 < main_.timesteps.size() ? main_level(k + 1) : Level{0, 0});
    }
    sigmas_.push_back(0);
  }

  Level main_level(std::size_t k) const { return {main_.sigmas[k], main_.timesteps[k]}; }

  void add_step(const Level& from, const Level& to) {
    for (const Level& level : {from, to}) {
      if (level.sigma <= 0) continue;
      sigmas_.push_back(level.sigma);
      timesteps_.push_back(level.timestep);
    }
  }

  void add_restart(std::size_t high, std::size_t low) {
    std::vector<double> sigmas = karras_sigmas({main_.sigmas[high], main_.sigmas[low]}, each_ + 1);
    for (double& sigma : sigmas) sigma = static_cast<float>(sigma);
    const std::vector<double> timesteps = timesteps_at_sigmas(sigmas, training_levels());
    std::vector<Level> levels;
    for (std::size_t r = 0; r < sigmas.size(); ++r) {
      levels.push_back({sigmas[r], static_cast<float>(timesteps[r])});
    }
    levels.front() = main_level(high);
    levels.back() = main_level(low);
    for (std::size_t r = 0; r + 1 < levels.size(); ++r) add_step(levels[r], levels[r + 1]);
  }

  NoiseLevels main_;
  int times_ = 0;
  int each_ = 0;
};

}  // namespace

SchedulerConfig restart_defaults() { return euler_defaults(); }

std::unique_ptr<Scheduler> make_restart(const SchedulerConfig& config,
                                        const SamplerOptions& options) {
  return std::make_unique<RestartScheduler>(plain_levels(config), options.schedule);
}

}  // namespace ldm
