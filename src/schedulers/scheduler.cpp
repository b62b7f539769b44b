#include "ldm/schedulers/scheduler.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/prediction.h"

namespace ldm {

Scheduler::~Scheduler() = default;

at::Tensor Scheduler::scale_model_input(const at::Tensor& sample, int) const { return sample; }

bool Scheduler::needs_noise(int) const { return false; }

at::Tensor Scheduler::estimate_x0(const at::Tensor& model_output, int i,
                                  const at::Tensor& sample) const {
  // Every class shows its model α x_0 + σ' ε with α² + σ'² = 1, whatever its own samples are.
  constexpr double kLeastAlpha = 1e-4;  // zero terminal SNR has no x_0 to be told from ε
  const double sigma = sigmas_.at(static_cast<std::size_t>(i));
  const double alpha = std::max(1.0 / std::sqrt(sigma * sigma + 1.0), kLeastAlpha);
  return predict_x0(parse_prediction_type(config_.prediction_type), model_output.to(at::kFloat),
                    scale_model_input(sample.to(at::kFloat), i), static_cast<float>(alpha),
                    static_cast<float>(std::sqrt(1.0 - alpha * alpha)));
}

std::optional<NoiseInterval> Scheduler::noise_interval(int) const { return std::nullopt; }

int Scheduler::begin_at_strength(double strength) {
  const int steps = num_inference_steps_;
  const int kept = std::min(static_cast<int>(steps * strength), steps);
  set_begin_index(kept == 0 ? static_cast<int>(timesteps_.size()) : (steps - kept) * order());
  return begin_index_;
}

void Scheduler::start_plan(int num_inference_steps) {
  if (num_inference_steps < 1 || num_inference_steps > config_.num_train_timesteps) {
    throw Error::usage(cat("number of steps ", num_inference_steps, " is outside 1…",
                           config_.num_train_timesteps, ", the model's training timesteps"),
                       "--steps 30");
  }
  num_inference_steps_ = num_inference_steps;
  begin_index_ = 0;
  next_index_ = 0;
  reset();
}

void Scheduler::set_begin_index(int i) {
  if (i < 0 || i > static_cast<int>(timesteps_.size())) {
    throw Error::internal(cat("begin index ", i, " of ", timesteps_.size(), " timesteps"));
  }
  begin_index_ = i;
  next_index_ = i;
  reset();
}

at::Tensor Scheduler::step(const at::Tensor& model_output, int i, const at::Tensor& sample,
                           const at::Tensor& noise) {
  if (i == begin_index_) {
    reset();
  } else if (i != next_index_) {
    throw Error::internal(cat("scheduler step ", i, " where step ", next_index_, " is due"));
  }
  if (i < 0 || i >= static_cast<int>(timesteps_.size())) {
    throw Error::internal(cat("scheduler step ", i, " of ", timesteps_.size()));
  }
  if (needs_noise(i) && !noise.defined()) {
    throw Error::internal(cat("scheduler step ", i, " without its noise"));
  }
  next_index_ = i + 1;
  return step_fp32(model_output.to(at::kFloat), i, sample.to(at::kFloat),
                   noise.defined() ? noise.to(at::kFloat) : noise);
}

}  // namespace ldm
