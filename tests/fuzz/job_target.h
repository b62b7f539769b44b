#pragma once

#include <cstdlib>
#include <string>

#include "ldm/app/check_options.h"
#include "ldm/app/jobs.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::fuzz {

inline void check_fault(const app::JobFault& fault) {
  if (fault.source.empty() || fault.message.empty() || fault.first < 0) std::abort();
  const Error error = Error::input(cat(fault.source, ": ", fault.message), fault.hint);
  if (escape_control(error.message()) != error.message()) std::abort();
}

inline void check_job(const app::Job& job, std::int64_t& next) {
  if (job.source.empty() || !job.options.seed || job.images() < 1) std::abort();
  if (job.first < next || !app::check_options(job.options).empty()) std::abort();
  if (find_invalid_utf8(job.options.prompt.value_or("")) != std::string::npos) std::abort();
  next = job.first + job.images();
}

/// Reads all jobs of a run: each line gives usable jobs or faults that say what is wrong, and no
/// two share a number. Only Error::input may come out besides.
inline void read_jobs(const app::Options& run) {
  try {
    app::JobReader reader(run);
    std::vector<app::Job> jobs;
    std::vector<app::JobFault> faults;
    std::int64_t next = 0;
    for (bool more = true; more; jobs.clear(), faults.clear()) {
      more = reader.next(jobs, faults);
      if (more && jobs.empty() && faults.empty()) std::abort();
      for (const app::Job& job : jobs) check_job(job, next);
      for (const app::JobFault& fault : faults) check_fault(fault);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInput) std::abort();
  }
}

}  // namespace ldm::fuzz
