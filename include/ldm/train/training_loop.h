#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ldm/train/checkpoint.h"
#include "ldm/train/run_config.h"
#include "ldm/train/tensor_map.h"

namespace ldm::train {

class ProcessGroup;

/// Samples of a run by their numbers: `count` of them from `first`. Numbers rise over the whole run
/// and all processes; sample n of a run is the same whoever trains on it.
struct SampleRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Where a run's networks live and who shares the work.
struct RunPlace {
  std::shared_ptr<ProcessGroup> group;
  at::Device device = at::kCPU;
};

/// Joins the processes that the launcher started (`open_process_group`); each has the device of its
/// local rank. Error::usage as there.
RunPlace find_place(const RunConfig& config);

/// Figures of a step by name, each the mean over its samples.
class Metrics {
 public:
  /// Adds a mean over `count` samples.
  void add(const std::string& name, double mean, std::int64_t count);
  std::map<std::string, double> means() const;
  /// Adds the figures of all ranks, which have added to the same names.
  void join(ProcessGroup& group);

 private:
  std::map<std::string, std::pair<double, double>> sums_;
};

/// What is learned, and from which loss: the part that differs between kinds of runs.
///
/// A step has one or more phases with parameters of their own, run one after the other (an
/// autoencoder, then its discriminator); while one runs, the others' parameters want no gradient.
class Task {
 public:
  virtual ~Task() = default;

  struct Phase {
    std::string name;
    std::vector<NamedParameter> parameters;
    double learning_rate_factor = 1.0;
  };
  virtual std::vector<Phase> phases() = 0;
  /// Whether a phase learns at `step`.
  virtual bool active(std::size_t phase, std::int64_t step) const = 0;

  /// The mean loss [] of a phase over some samples; its figures go into `metrics`. Runs under the
  /// loop's autocast.
  virtual at::Tensor loss(std::size_t phase, SampleRange samples, std::int64_t step,
                          Metrics& metrics) = 0;

  /// After every phase of a step.
  virtual void after_step(std::int64_t /*step*/, Metrics& /*metrics*/) {}

  /// All that a checkpoint must hold beside optimizers and averages; shares storage.
  virtual TensorMap state() const = 0;
  /// Writes the model as users load it; the parameters hold their averages then.
  virtual void export_model(const std::filesystem::path& folder) = 0;
};

/// One line of a run's log.
struct StepReport {
  std::int64_t step = 0;  ///< done so far
  std::int64_t of = 0;
  std::map<std::string, double> metrics;  ///< loss, grad_norm, …, means since the last report
  double learning_rate = 0;
  std::int64_t skipped = 0;
  double samples_per_second = 0;
  double remaining_seconds = 0;
};

/// What a program wants to hear of; each may be empty.
struct LoopCallbacks {
  std::function<void(const StepReport&)> report;
  std::function<void(const std::filesystem::path& checkpoint)> saved;
  /// Makes a sheet of samples while the parameters hold their averages.
  std::function<void(std::int64_t step)> sample;
  /// Whether to write a checkpoint and stop now.
  std::function<bool()> stop;
};

/// How a run ended.
struct RunResult {
  std::int64_t step = 0;
  std::int64_t of = 0;
  std::int64_t skipped = 0;
  std::filesystem::path checkpoint;  ///< the last one written
  bool finished = false;             ///< else `stop` ended it
};

/// Trains: losses, gradients averaged over the group while backward goes on, clipping, updates,
/// averages, checkpoints. With `resume` it goes on from the latest checkpoint below
/// /run/output_dir, bit for bit as if it had never stopped; without, a folder that has one is
/// refused. Throws Error::input for a configuration that differs from the checkpoint's,
/// Error::non_finite after max_skipped_steps steps in a row whose loss or gradients were not
/// finite, Error::output when a checkpoint cannot be written.
///
/// A finished run's model lies in OUTPUT_DIR/model too. Each rank takes its share of every batch;
/// rank 0 reports, samples and saves. A stop that one
/// rank is asked for stops all after the same step.
RunResult train(Task& task, const RunConfig& config, const RunPlace& place, bool resume,
                const LoopCallbacks& callbacks);

}  // namespace ldm::train
