#include <filesystem>
#include <fstream>

#include "ldm/core/device.h"
#include "ldm/core/text.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

/// tests/support/fake_cuda.cpp.
enum Fake { kFine, kOtherBuild, kNoDevice, kOldDriver, kNoEntry };

CudaState open(Fake fake) {
  return open_cuda_plugin(std::filesystem::path(LDM_BINARY_DIR) / "tests" /
                          cat("libldm_fake_cuda_", static_cast<int>(fake), ".so"));
}

}  // namespace

TEST_CASE("a CUDA plugin with devices is used") {
  const CudaState state = open(kFine);
  REQUIRE(state.api != nullptr);
  CHECK(state.devices == 2);
  CHECK(state.api->device_capability(1) == 90);
  CHECK(state.why_not.empty());
}

TEST_CASE("what keeps CUDA from being used is said in a line") {
  using Catch::Matchers::Contains;
  CHECK_THAT(open(kOtherBuild).why_not, Contains("belongs to another build of ldm-gen"));
  CHECK_THAT(open(kNoEntry).why_not, Contains("belongs to another build of ldm-gen"));
  CHECK_THAT(open(kNoDevice).why_not, Contains("no usable CUDA device: none found"));
  CHECK_THAT(
      open(kOldDriver).why_not,
      Contains("CUDA driver version is insufficient (driver for CUDA 12.2, ldm-gen needs 13.0)"));
  for (const Fake fake : {kOtherBuild, kNoDevice, kOldDriver, kNoEntry}) {
    CHECK(open(fake).api == nullptr);
    CHECK(open(fake).why_not.find('\n') == std::string::npos);
  }
  CHECK_THAT(open_cuda_plugin("/nowhere/libldm_cuda.so").why_not,
             Contains("is missing: ldm-gen was built without a CUDA toolkit"));
  const test::TempDir folder;
  std::ofstream(folder.path() / "text.so") << "no library";
  CHECK_THAT(open_cuda_plugin(folder.path() / "text.so").why_not, Contains("cannot load"));
}

}  // namespace ldm
