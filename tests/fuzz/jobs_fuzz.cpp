// Any bytes as a file of jobs that comes through stdin.
#include <unistd.h>

#include <cstdint>

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/job_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ldm::fuzz::InputFile input;
  input.fill(data, size);
  if (::dup2(input.descriptor(), STDIN_FILENO) != STDIN_FILENO) std::abort();
  ldm::app::Options run;
  run.jobs = "-";
  run.seed = 1;
  run.steps = 4;
  ldm::fuzz::read_jobs(run);
  return 0;
}
