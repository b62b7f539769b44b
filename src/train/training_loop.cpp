#include "ldm/train/training_loop.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <cmath>
#include <memory>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/train/autocast.h"
#include "ldm/train/ema.h"
#include "ldm/train/gradient_reducer.h"
#include "ldm/train/gradients.h"
#include "ldm/train/process_group.h"

namespace ldm::train {
namespace fs = std::filesystem;

void Metrics::add(const std::string& name, double mean, std::int64_t count) {
  auto& [sum, samples] = sums_[name];
  sum += mean * static_cast<double>(count);
  samples += static_cast<double>(count);
}

std::map<std::string, double> Metrics::means() const {
  std::map<std::string, double> means;
  for (const auto& [name, sum] : sums_) means[name] = sum.first / sum.second;
  return means;
}

void Metrics::join(ProcessGroup& group) {
  if (group.size() == 1) return;
  at::Tensor all = at::zeros({static_cast<std::int64_t>(sums_.size()), 2}, at::kDouble);
  auto rows = all.accessor<double, 2>();
  std::int64_t row = 0;
  for (const auto& item : sums_) {
    rows[row][0] = item.second.first;
    rows[row++][1] = item.second.second;
  }
  group.all_reduce_sum(all)->wait();
  row = 0;
  for (auto& item : sums_) {
    item.second = {rows[row][0], rows[row][1]};
    ++row;
  }
}

namespace {

using Clock = std::chrono::steady_clock;

std::vector<at::Tensor> values_of(const std::vector<NamedParameter>& parameters) {
  std::vector<at::Tensor> values;
  for (const NamedParameter& parameter : parameters) values.push_back(parameter.value);
  return values;
}

class Loop {
 public:
  Loop(Task& task, const RunConfig& config, const RunPlace& place, const LoopCallbacks& callbacks)
      : task_(task),
        config_(config),
        run_(config.run),
        group_(place.group),
        share_(batch_share(config.run.batch_size, *group_)),
        callbacks_(callbacks),
        phases_(task.phases()),
        scaler_(run_.mixed_precision == "fp16"),
        checkpoints_(fs::path(run_.output_dir) / "checkpoints", run_.keep_checkpoints),
        device_(place.device.type()) {
    for (const Task::Phase& phase : phases_) {
      optimizers_.push_back(make_optimizer(phase.parameters, config.optimizer, group_));
      reducers_.push_back(std::make_unique<GradientReducer>(values_of(phase.parameters), group_));
    }
    if (run_.ema_decay > 0) {
      ema_ = std::make_unique<Ema>(phases_.front().parameters, run_.ema_decay);
    }
    state_.config = config.document;
  }

  void begin(bool resume) {
    const auto latest = checkpoints_.latest();
    if (!resume && latest) {
      throw Error::output(cat(run_.output_dir, " holds a run already (", latest->string(), ")"),
                          "go on with --resume, or choose another /run/output_dir");
    }
    if (resume && !latest) {
      throw Error::input(cat("no checkpoint to resume from below ", run_.output_dir),
                         "start without --resume");
    }
    all_ranks_agree("the run's configuration", sha256_hex(config_.document.dump()), *group_);
    if (resume) restore(*latest);
    group_->barrier();
  }

  RunResult run() {
    mark_ = Clock::now();
    marked_step_ = state_.step;
    bool stopped = false;
    while (state_.step < run_.steps && !stopped) {
      step();
      if (state_.step % run_.log_every == 0 || state_.step == run_.steps) report();
      if (run_.sample_every > 0 && state_.step % run_.sample_every == 0) sample();
      stopped = any_rank(callbacks_.stop && callbacks_.stop());
      if (state_.step % run_.checkpoint_every == 0 || state_.step == run_.steps || stopped) save();
    }
    if (state_.step == run_.steps && group_->rank() == 0 && !saved_.empty()) publish();
    group_->close();
    return {state_.step, run_.steps, state_.skipped, saved_, state_.step == run_.steps};
  }

 private:
  void restore(const fs::path& checkpoint) {
    const RunState stored = Checkpoints::read_state(checkpoint);
    const auto differences = config_differences(stored.config, config_.document);
    if (!differences.empty()) {
      throw Error::input(cat(config_.source, ": not the configuration of ", checkpoint.string(),
                             ": ", join(differences, "; ")),
                         "resume with the same configuration, or start a new run");
    }
    restore_tensors(tensors(), Checkpoints::read_state_tensors(checkpoint), checkpoint.string());
    state_ = stored;
    state_.config = config_.document;
  }

  /// Everything that a checkpoint holds.
  TensorMap tensors() const {
    TensorMap all = task_.state();
    for (std::size_t i = 0; i < phases_.size(); ++i) {
      all.merge(optimizers_[i]->state(cat("optimizer.", phases_[i].name, ".")));
    }
    if (ema_) all.merge(ema_->state("ema."));
    all.merge(scaler_.state("scaler."));
    return all;
  }

  void step() {
    bool finite = true;
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
      if (task_.active(phase, state_.step)) finite = learn(phase) && finite;
    }
    task_.after_step(state_.step, metrics_);
    ++state_.step;
    state_.skipped_in_row = finite ? 0 : state_.skipped_in_row + 1;
    state_.skipped += finite ? 0 : 1;
    if (state_.skipped_in_row >= run_.max_skipped_steps) {
      throw Error::non_finite(cat("step ", state_.step, ": loss or gradients were not finite for ",
                                  state_.skipped_in_row, " steps in a row"),
                              "lower /optimizer/learning_rate; the last checkpoint is kept");
    }
  }

  /// One phase of a step; false when it was skipped because something was not finite.
  bool learn(std::size_t phase) {
    for (std::size_t other = 0; other < phases_.size(); ++other) {
      for (const NamedParameter& parameter : phases_[other].parameters) {
        at::Tensor(parameter.value).requires_grad_(other == phase);
      }
    }
    Optimizer& optimizer = *optimizers_[phase];
    optimizer.zero_grad();
    const bool loss_finite = backward(phase);
    reducers_[phase]->finish();
    const std::vector<at::Tensor> values = values_of(optimizer.parameters());
    const double norm = scaler_.unscale(values);
    const bool finite = std::isfinite(norm);
    // Loss scaling finds its scale by overflowing: such a step is not a fault of the run's.
    scaler_.update(finite);
    if (!loss_finite || !finite) return scaler_.enabled() && loss_finite;
    metrics_.add(phase == 0 ? "grad_norm" : phases_[phase].name + "_grad_norm", norm, 1);
    if (run_.max_grad_norm > 0) clip_gradients(values, norm, run_.max_grad_norm);
    optimizer.step(learning_rate_factor(config_.schedule, state_.step, run_.steps) *
                   phases_[phase].learning_rate_factor);
    if (phase == 0 && ema_) ema_->update();
    optimizer.zero_grad();
    return true;
  }

  /// Whether it is so on any rank.
  bool any_rank(bool here) {
    return group_->size() == 1 ? here : all_reduce_mean(here ? 1.0 : 0.0, *group_) > 0;
  }

  /// Adds up the gradients of this rank's micro batches; whether all losses on all ranks were
  /// finite. Ranks run the same number of backward passes whatever they find.
  bool backward(std::size_t phase) {
    const SampleRange mine{state_.step * run_.batch_size + share_.begin, share_.end - share_.begin};
    const std::int64_t most = run_.micro_batch_size > 0 ? run_.micro_batch_size : mine.count;
    bool finite = true;
    for (std::int64_t done = 0; done < mine.count; done += most) {
      const SampleRange part{mine.first + done, std::min(most, mine.count - done)};
      at::Tensor loss;
      {
        const Autocast autocast(run_.mixed_precision, device_);
        loss = task_.loss(phase, part, state_.step, metrics_);
      }
      finite = finite && std::isfinite(loss.item<double>());
      const double weight =
          share_.weight * static_cast<double>(part.count) / static_cast<double>(mine.count);
      if (done + most >= mine.count) reducers_[phase]->begin();
      scaler_.scale(loss * weight).backward();
    }
    return !any_rank(!finite);
  }

  void report() {
    metrics_.join(*group_);
    if (group_->rank() != 0 || !callbacks_.report) {
      metrics_ = Metrics();
      return;
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - mark_).count();
    const double steps = static_cast<double>(state_.step - marked_step_);
    StepReport report;
    report.step = state_.step;
    report.of = run_.steps;
    report.metrics = metrics_.means();
    report.learning_rate = config_.optimizer.learning_rate *
                           learning_rate_factor(config_.schedule, state_.step - 1, run_.steps);
    report.skipped = state_.skipped;
    report.samples_per_second = steps * static_cast<double>(run_.batch_size) / seconds;
    report.remaining_seconds = static_cast<double>(run_.steps - state_.step) * seconds / steps;
    callbacks_.report(report);
    metrics_ = Metrics();
    mark_ = Clock::now();
    marked_step_ = state_.step;
  }

  void sample() {
    if (group_->rank() != 0 || !callbacks_.sample) return;
    const EmaScope averaged(ema_.get());
    callbacks_.sample(state_.step);
  }

  void save() {
    if (group_->rank() == 0) write_checkpoint();
    group_->barrier();
  }

  /// The finished model under a name that does not change: OUTPUT_DIR/model.
  void publish() const {
    const fs::path target = fs::path(run_.output_dir) / "model";
    const fs::path staged = fs::path(run_.output_dir) / ".staged-model";
    std::error_code error;
    fs::remove_all(staged, error);
    fs::copy(saved_ / "model", staged, fs::copy_options::recursive, error);
    if (!error) fs::remove_all(target, error);
    if (!error) fs::rename(staged, target, error);
    if (error) throw Error::output(cat("cannot write ", target.string(), ": ", error.message()));
  }

  void write_checkpoint() {
    const TensorMap all = tensors();
    const auto export_model = [this](const fs::path& folder) {
      const EmaScope averaged(ema_.get());
      task_.export_model(folder);
    };
    saved_ = checkpoints_.save(state_, all, export_model);
    if (callbacks_.saved) callbacks_.saved(saved_);
  }

  Task& task_;
  const RunConfig& config_;
  const RunSettings& run_;
  std::shared_ptr<ProcessGroup> group_;
  BatchShare share_;
  const LoopCallbacks& callbacks_;
  std::vector<Task::Phase> phases_;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  std::vector<std::unique_ptr<GradientReducer>> reducers_;
  std::unique_ptr<Ema> ema_;
  LossScaler scaler_;
  Checkpoints checkpoints_;
  c10::DeviceType device_;
  RunState state_;
  fs::path saved_;
  Metrics metrics_;
  Clock::time_point mark_;
  std::int64_t marked_step_ = 0;
};

}  // namespace

RunPlace find_place(const RunConfig& config) {
  LaunchRequest request;
  request.cuda = config.run.device == "cuda";
  return {open_process_group(request), training_device(request)};
}

RunResult train(Task& task, const RunConfig& config, const RunPlace& place, bool resume,
                const LoopCallbacks& callbacks) {
  Loop loop(task, config, place, callbacks);
  loop.begin(resume);
  return loop.run();
}

}  // namespace ldm::train
