#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ldm/app/jobs.h"
#include "ldm/app/metadata.h"
#include "ldm/app/picture_names.h"
#include "ldm/app/run_model.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// One picture of a batch.
struct Task {
  std::int64_t index = 0;  ///< number in the batch
  std::size_t job = 0;     ///< number of its job
  std::int64_t image = 0;  ///< k in its job
  std::string name;        ///< of its file
  std::string hash;        ///< its `job_hash`
  int kind = 0;            ///< tasks of one kind can be computed together
  int width = 0;           ///< pixels
  int height = 0;
  PictureCost cost;
};

/// A task ready to compute: a plan of this one picture, as if it had been asked for alone.
struct PreparedTask {
  Task task;
  RunFacts facts;
};

/// Makes tasks of jobs, and plans of tasks.
class TaskMaker {
 public:
  TaskMaker(const RunModel& model, const Pipeline& pipeline, NameTemplate names);

  /// The tasks of a job that `jobs.back()` of the batch is (its number is `number`), all checked.
  /// Throws Error::input or Error::usage for a job that this model cannot do.
  std::vector<Task> tasks(const Job& job, std::size_t number);
  /// The task's plan and facts; reads its pictures again.
  PreparedTask prepare(const Job& job, const Task& task);
  /// The job's options with the model's defaults.
  Options resolved(const Job& job) const;

 private:
  /// Facts of image `k` of a job.
  RunFacts plan(const Job& job, const Options& options, const Inputs& inputs, std::int64_t k) const;
  int kind_of(const Options& options, const Plan& plan, std::size_t number);

  PictureCost cost_of(const Plan& plan);

  const RunModel& model_;
  const Pipeline& pipeline_;
  NameTemplate names_;
  std::map<std::string, int> kinds_;
  std::map<std::vector<std::int64_t>, PictureCost> costs_;  ///< by latent size, steps, predictions
};

/// Numbers of tasks that are computed together: tasks of one kind, `batch_size` at a time, in the
/// order of their first ones. The same list gives the same groups.
std::vector<std::vector<std::size_t>> group_tasks(const std::vector<Task>& tasks, int batch_size);

}  // namespace ldm::app
