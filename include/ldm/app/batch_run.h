#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ldm/app/batch_folder.h"
#include "ldm/app/batch_jobs.h"
#include "ldm/app/batch_settings.h"
#include "ldm/app/batch_tasks.h"
#include "ldm/app/done_tasks.h"
#include "ldm/app/progress.h"
#include "ldm/app/run_model.h"
#include "ldm/app/session.h"
#include "ldm/core/error.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// What the parts of one run of a batch share.
struct BatchRun {
  /// Reads the jobs and opens the model and the folder. Throws what is wrong with any of them.
  BatchRun(Options options, Session& session);
  /// Reports what each stage took.
  ~BatchRun();
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  const Task& task(std::size_t number) const { return jobs->tasks()[number]; }

  /// Keeps a picture's failure in the journal, and counts it.
  void note_failure(std::int64_t index, const std::string& source, const Error& error);

  Options options;
  Session& session;
  Console& console;
  BatchSettings settings;
  BatchFolder folder;
  ProgressMeter progress;
  RunModel model;
  std::unique_ptr<Pipeline> pipeline;
  std::unique_ptr<TaskMaker> maker;
  std::unique_ptr<BatchJobs> jobs;
  int batch_size = 1;
  DoneTasks done;
  std::int64_t wanted = 0;  ///< pictures of this process

 private:
  void choose_seed();
  void choose_device();
};

}  // namespace ldm::app
