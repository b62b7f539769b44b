#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ldm/app/batch_tasks.h"
#include "ldm/app/grid.h"
#include "ldm/app/jobs.h"
#include "ldm/app/shard.h"

namespace ldm::app {

/// The jobs of a batch as they are read, and the tasks of this process among them.
class BatchJobs {
 public:
  /// `maker` must outlive it.
  BatchJobs(JobReader reader, TaskMaker& maker, const Shard& shard)
      : reader_(std::move(reader)), maker_(maker), shard_(shard) {}

  /// Reads on: jobs that can be used become tasks, the others faults. False at the end.
  bool read_more();
  /// Forgets the jobs and tasks so far, not their names.
  void clear();
  /// Hands the faults over.
  std::vector<JobFault> take_faults() { return std::exchange(faults_, {}); }

  bool streams() const { return reader_.streams(); }
  const std::vector<SweepAxis>& axes() const { return reader_.axes(); }
  bool has_faults() const { return !faults_.empty(); }
  const std::vector<Task>& tasks() const { return tasks_; }
  std::size_t jobs() const { return jobs_.size(); }
  const Job& job_of(const Task& task) const { return jobs_[task.job]; }
  /// The tasks as --grid shows them; valid until jobs are read on or forgotten.
  std::vector<GridPicture> grid_pictures() const;
  /// Pictures of all processes, as far as jobs were read.
  std::int64_t pictures() const {
    return jobs_.empty() ? 0 : jobs_.back().first + jobs_.back().images();
  }

 private:
  void make_tasks(std::size_t job);

  JobReader reader_;
  TaskMaker& maker_;
  Shard shard_;
  std::vector<Job> jobs_;
  std::vector<JobFault> faults_;
  std::vector<Task> tasks_;
  std::set<std::string> names_;
};

}  // namespace ldm::app
