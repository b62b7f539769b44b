#include "ldm/core/execution.h"

#include <ATen/Context.h>

#include <string>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
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

/// Why a request is a usage error: what it says, and its hint.
std::pair<std::string, std::string> refusal(const std::string& device, const std::string& dtype) {
  try {
    resolve_execution(request(device, dtype), kSmall);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kUsage);
    return {error.message(), error.hint()};
  }
  return {"accepted", ""};
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
  CHECK(refusal("cpu", "pf16").second == "did you mean bf16?");
  CHECK_THROWS_AS(resolve_execution(request("gpu", "auto"), kSmall), Error);
}

TEST_CASE("8-bit products are for CPUs that have them, and others say why not") {
  std::vector<std::string> said;
  set_log_sink([&said](const LogEvent& event) { said.push_back(event.message); });
  const auto resolve = [](const std::string& dtype, bool fast) {
    ExecutionRequest wanted = request("cpu", dtype);
    wanted.fast = fast;
    return resolve_execution(wanted, kSmall);
  };
  CHECK_FALSE(resolve("fp32", false).eight_bit);
  CHECK(said.empty());
  const Execution fast = resolve("fp32", true);
  CHECK(fast.eight_bit == cpu_has_int8_products());
  CHECK(summarize(fast).products == (fast.eight_bit ? "int8" : ""));
  CHECK(said.empty() == fast.eight_bit);
  CHECK_FALSE(resolve("fp16", true).eight_bit);
  CHECK(said.back().find("--fast has no effect: ") == 0);
  set_log_sink({});
}

TEST_CASE("on a GPU that has them, 8-bit products go with 16-bit numbers", "[gpu]") {
  if (cuda_state().api == nullptr) return;
  std::vector<std::string> said;
  set_log_sink([&said](const LogEvent& event) { said.push_back(event.message); });
  const bool has = cuda_state().api->kernels != nullptr && gpu_has_fp8_products(0);
  for (const char* dtype : {"auto", "fp16", "bf16"}) {
    ExecutionRequest wanted = request("cuda", dtype);
    wanted.fast = true;
    const Execution execution = resolve_execution(wanted, kSmall);
    CHECK(execution.eight_bit == has);
    CHECK(summarize(execution).products == (has ? "fp8" : ""));
  }
  CHECK(said.empty() == has);
  ExecutionRequest exact = request("cuda", "fp32");
  exact.fast = true;
  CHECK_FALSE(resolve_execution(exact, kSmall).eight_bit);
  CHECK(said.back().find("--fast has no effect: ") == 0);
  set_log_sink({});
}

TEST_CASE("TF32 is a GPU's alone") {
  CHECK(refusal("cpu", "tf32") ==
        std::pair<std::string, std::string>("--dtype tf32: only GPUs compute in it",
                                            "use --dtype fp32 or bf16"));
}

TEST_CASE("TF32 is asked for, never a default, and ends with the request", "[gpu]") {
  if (cuda_state().api == nullptr) return;
  const auto precision = [](const char* dtype) {
    const Execution execution = resolve_execution(request("cuda", dtype), kSmall);
    CHECK(execution.dtype == c10::ScalarType::Float);
    CHECK(summarize(execution).dtype == dtype);
    return at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::CONV);
  };
  CHECK(precision("fp32") == at::Float32Precision::IEEE);
  CHECK(precision("tf32") == at::Float32Precision::TF32);
  CHECK(precision("fp32") == at::Float32Precision::IEEE);
}

TEST_CASE("a CUDA device that is not there is a usage error, and auto falls back") {
  if (cuda_state().api != nullptr) {
    CHECK_THROWS_AS(resolve_execution(request("cuda:99", "auto"), kSmall), Error);
    return;
  }
  CHECK(refusal("cuda", "auto").second == "use --device cpu");
  CHECK(resolve_execution(request("auto", "auto"), kSmall).device.is_cpu());
}

}  // namespace ldm
