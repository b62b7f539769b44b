#include "ldm/app/batch_jobs.h"

#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {

bool BatchJobs::read_more() {
  std::vector<Job> fresh;
  const bool more = reader_.next(fresh, faults_);
  for (Job& job : fresh) {
    const std::size_t before = tasks_.size();
    jobs_.push_back(std::move(job));
    try {
      make_tasks(jobs_.size() - 1);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInput && error.code() != ErrorCode::kUsage) throw;
      faults_.push_back({jobs_.back().source, error.message(), error.hint(), jobs_.back().first});
      jobs_.pop_back();
      tasks_.resize(before);
    }
  }
  return more;
}

void BatchJobs::make_tasks(std::size_t job) {
  for (Task& task : maker_.tasks(jobs_[job], job)) {
    if (!shard_.holds(task.index)) continue;
    if (!names_.insert(task.name).second) {
      throw Error::input(cat("the name ", task.name, " is taken by a job before it"),
                         "put {index} into --name-template, or give each job its own output");
    }
    tasks_.push_back(std::move(task));
  }
}

std::vector<GridPicture> BatchJobs::grid_pictures() const {
  std::vector<GridPicture> pictures;
  for (const Task& task : tasks_) {
    const Job& job = job_of(task);
    pictures.push_back({&job.options, *job.options.seed + static_cast<std::uint64_t>(task.image),
                        task.hash, job.line, job.combination, task.image, task.width, task.height});
  }
  return pictures;
}

void BatchJobs::clear() {
  jobs_.clear();
  tasks_.clear();
}

}  // namespace ldm::app
