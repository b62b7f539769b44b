// Runs whose address space is limited: fewer pictures at a time, then exit 6 with the numbers. By
// hand (test_cli "[memory]"): it takes a minute, and what fits at a limit differs a little from run
// to run. pipeline/out_of_memory_test.cpp tries the same in every build, with allocations that fail
// on purpose.

#include "ldm/io/image.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

/// Four pictures at once with `megabytes` of address space.
ProgramResult limited(const TempDir& dir, int megabytes, const std::string& more) {
  const std::string command = "ulimit -v " + std::to_string(megabytes * 1024) +
                              "; exec " LDM_BINARY_DIR
                              "/bin/ldm-gen -p cat --steps 1 -W 256 "
                              "-H 256 --seed 1 --threads 1 --no-progress --metadata none -N 4 "
                              "--batch-size 4 -o " +
                              more;
  ProgramSetup setup;
  setup.folder = dir.path();
  return run_program({"/bin/bash", "-c", command}, setup);
}

/// The least limit in steps of 64 MiB with which the run succeeds.
int least_limit(const TempDir& dir) {
  constexpr int kStep = 64;
  int too_little = 448;
  int enough = 4096;
  while (enough - too_little > kStep) {
    const int middle = (too_little + enough) / 2;
    const ProgramResult result = limited(dir, middle, "try.png --overwrite");
    (result.exit_code == 0 ? enough : too_little) = middle;
  }
  return enough;
}

TEST_CASE("where four pictures do not fit at once fewer are made, the same ones", "[.memory]") {
  const TempDir dir;
  const int least = least_limit(dir);
  const ProgramResult result = limited(dir, least, "tight.png --json");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  int shrunk = 0;
  for (const auto& event : events(result.out)) {
    if (event["event"] == "warning" && event["code"] == "memory-short") ++shrunk;
  }
  CHECK(shrunk > 0);
  const ProgramResult refused = limited(dir, least - 128, "none.png");
  CHECK(refused.exit_code == 6);
  CHECK(refused.err.find("an image of 256x256 needs about ") != std::string::npos);
  CHECK(refused.err.find(" more are free") != std::string::npos);
  REQUIRE(limited(dir, 1 << 20, "free.png").exit_code == 0);
  for (int k = 1; k <= 4; ++k) {
    const std::string name = "-000" + std::to_string(k) + ".png";
    const Image tight = load_image(dir / ("tight" + name));
    const Image free = load_image(dir / ("free" + name));
    // As between batch sizes in general.
    CHECK(largest_difference(tight, free) <= 1);
  }
}

}  // namespace
}  // namespace ldm::test
