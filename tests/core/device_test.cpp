#include "ldm/core/device.h"

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("the machine is described") {
  CHECK(!cpu_name().empty());
  CHECK(!cpu_isa().empty());
  CHECK(torch_version() == "2.11.0");
  CHECK(peak_rss_bytes() > 1e6);
  CHECK(available_memory_bytes() > 1e6);
}

TEST_CASE("CUDA state says why it cannot be used") {
  const CudaState& state = cuda_state();
  CHECK((state.api != nullptr) == state.why_not.empty());
  CHECK((state.devices > 0) == (state.api != nullptr));
}

}  // namespace ldm
