#include "ldm/core/execution.h"

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

constexpr std::int64_t kSmall = 9'000'000;
constexpr std::int64_t kLarge = 860'000'000;

ExecutionRequest request(const std::string& device, const std::string& dtype) {
  ExecutionRequest wanted;
  wanted.device = device;
  wanted.dtype = dtype;
  wanted.threads = 1;
  return wanted;
}

}  // namespace

TEST_CASE("auto computes small models in fp32 and large ones in bf16 where that is native") {
  CHECK(resolve_execution(request("cpu", "auto"), kSmall).dtype == c10::ScalarType::Float);
  const auto expected = cpu_has_native_bf16() ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
  CHECK(resolve_execution(request("cpu", "auto"), kLarge).dtype == expected);
}

TEST_CASE("an explicit choice is kept") {
  const Execution execution = resolve_execution(request("cpu", "bf16"), kSmall);
  CHECK(execution.dtype == c10::ScalarType::BFloat16);
  CHECK(execution.device.is_cpu());
  CHECK(execution.threads == 1);
  CHECK(summarize(execution).dtype == "bf16");
  CHECK(summarize(execution).device == "cpu");
}

TEST_CASE("unknown devices and formats are usage errors with a suggestion") {
  try {
    resolve_execution(request("cpu", "pf16"), kSmall);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.hint() == "did you mean bf16?");
  }
  CHECK_THROWS_AS(resolve_execution(request("gpu", "auto"), kSmall), Error);
}

TEST_CASE("a CUDA device that is not there is a usage error, and auto falls back") {
  if (cuda_state().api != nullptr) {
    CHECK_THROWS_AS(resolve_execution(request("cuda:99", "auto"), kSmall), Error);
    return;
  }
  try {
    resolve_execution(request("cuda", "auto"), kSmall);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.hint() == "use --device cpu");
  }
  CHECK(resolve_execution(request("auto", "auto"), kSmall).device.is_cpu());
}

}  // namespace ldm
