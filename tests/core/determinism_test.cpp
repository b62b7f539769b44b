#include "ldm/core/determinism.h"

#include <cstdlib>

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("what libtorch is told of exactness is known, and a variable only where it is set") {
  unsetenv("ONEDNN_MAX_CPU_ISA");
  const auto plain = determinism_settings(false);
  CHECK(plain.at("deterministic_algorithms") == "false");
  CHECK(plain.contains("float32_matmul"));
  CHECK_FALSE(plain.contains("cudnn_benchmark"));
  CHECK_FALSE(plain.contains("ONEDNN_MAX_CPU_ISA"));
  CHECK(determinism_settings(true).contains("cudnn_benchmark"));
  setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  CHECK(determinism_settings(false).at("ONEDNN_MAX_CPU_ISA") == "AVX2");
  unsetenv("ONEDNN_MAX_CPU_ISA");
}

}  // namespace ldm
