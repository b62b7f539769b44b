// Any bytes as a file of prompts, in a sweep.
#include <cstdint>

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/job_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ldm::fuzz::InputFile input;
  input.fill(data, size);
  ldm::app::Options run;
  run.prompts = input.path();
  run.seed = 1;
  run.sweep = {"steps=2"};
  ldm::fuzz::read_jobs(run);
  return 0;
}
