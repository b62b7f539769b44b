#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ldm/train/learning_rate.h"
#include "ldm/train/optimizer.h"
#include "ldm/train/start_config.h"

namespace ldm::train {

/// The fields of a run's "run" section: everything that is neither model, data nor loss.
struct RunSettings {
  std::string output_dir;  ///< checkpoints, log and samples; relative to the working folder
  std::int64_t seed = 0;
  std::int64_t steps = 0;              ///< optimizer steps in all
  std::int64_t batch_size = 1;         ///< samples of one step, over all processes
  std::int64_t micro_batch_size = 0;   ///< samples at a time in one process; 0: all of its share
  double max_grad_norm = 1.0;          ///< gradients are scaled down to this norm; 0: never
  std::string mixed_precision = "no";  ///< no, bf16 or fp16 (with loss scaling)
  double ema_decay = 0.0;              ///< 0: no average is kept
  std::int64_t log_every = 10;
  std::int64_t checkpoint_every = 1000;
  std::int64_t keep_checkpoints = 2;
  std::int64_t sample_every = 0;        ///< steps between sample sheets; 0: none
  std::int64_t max_skipped_steps = 10;  ///< non-finite steps in a row that end the run
  std::int64_t data_threads = 1;        ///< read and decode pictures in the background
  std::string device = "cpu";           ///< cpu or cuda; cuda takes the process' local rank

  template <class V>
  void visit(V&& v) {
    v("output_dir", output_dir);
    v("seed", seed);
    v("steps", steps);
    v("batch_size", batch_size);
    v("micro_batch_size", micro_batch_size);
    v("max_grad_norm", max_grad_norm);
    v("mixed_precision", mixed_precision);
    v("ema_decay", ema_decay);
    v("log_every", log_every);
    v("checkpoint_every", checkpoint_every);
    v("keep_checkpoints", keep_checkpoints);
    v("sample_every", sample_every);
    v("max_skipped_steps", max_skipped_steps);
    v("data_threads", data_threads);
    v("device", device);
  }
  /// Error::input naming the field that is missing or out of range, with `where` before it.
  void validate(const std::string& where) const;
};

/// What every kind of run has.
struct RunConfig {
  RunSettings run;
  StartConfig start;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  nlohmann::json document;  ///< the whole file
  std::string source;       ///< its path, for messages
};

/// Reads a run's file: its sections "run", "start", "optimizer" and "schedule", checked.
/// `sections` are the other sections that this kind of run knows; Error::input lists keys that
/// nobody knows.
RunConfig read_run_config(const std::string& path, const std::vector<std::string>& sections);

/// Reads one section into a struct with `visit` and `validate(where)`; an absent section leaves the
/// defaults. Error::input for unknown keys, wrong types and values out of range.
template <typename T>
T read_section(const RunConfig& config, const std::string& name);

/// The differences between the configuration that a checkpoint was made with and today's, as
/// "/run/seed: 0, now 1"; fields that may change without changing the run (how often to log, to
/// keep, to sample; threads) do not count.
std::vector<std::string> config_differences(const nlohmann::json& then, const nlohmann::json& now);

// Implementation.

/// The section's object, an empty one where there is none; Error::input for another type.
nlohmann::json section_of(const RunConfig& config, const std::string& name);
/// Throws Error::input for the first unknown key.
void refuse_unknown(const std::vector<std::string>& unknown, const std::string& where);

}  // namespace ldm::train

#include "ldm/train/read_section.h"
