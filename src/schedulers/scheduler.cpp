#include "ldm/schedulers/scheduler.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {

Scheduler::~Scheduler() = default;

at::Tensor Scheduler::scale_model_input(const at::Tensor& sample, int) const { return sample; }

bool Scheduler::needs_noise(int) const { return false; }

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
