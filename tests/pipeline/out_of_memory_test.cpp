#include "ldm/pipeline/out_of_memory.h"

#include <functional>
#include <new>
#include <stdexcept>
#include <system_error>

#include "ldm/core/execution.h"
#include "ldm/core/log.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

/// Pictures of a run, and the warnings it gave.
struct Outcome {
  std::vector<Image> images;
  std::vector<int> batches;  ///< images of every UNet call
  std::vector<std::string> warnings;
};

using Fault = std::function<void(RunStage stage, int images)>;

/// Five pictures in two steps, `fault` being called in every step and before every decoding.
Outcome run(Pipeline& pipeline, int batch_size, const Fault& fault) {
  Request request;
  request.prompt = "a red apple";
  request.sampler = "ddim";  // two UNet calls for two steps
  request.num_inference_steps = 2;
  request.num_images = 5;
  request.batch_size = batch_size;
  request.seed = 3;
  Outcome outcome;
  RunCallbacks callbacks;
  callbacks.on_stage = [&](RunStage stage) {
    if (stage == RunStage::kDecode) fault(stage, 1);
  };
  callbacks.on_step = [&](const StepInfo& info) {
    fault(RunStage::kPrepare, info.images);
    outcome.batches.push_back(info.images);
    return true;
  };
  callbacks.on_image = [&](ImageResult&& result) {
    CHECK(result.seed == 3 + outcome.images.size());
    outcome.images.push_back(std::move(result.image));
  };
  set_log_sink([&outcome](const LogEvent& event) {
    if (event.level == LogLevel::kWarning) outcome.warnings.push_back(event.code);
  });
  try {
    pipeline.run(pipeline.plan(request), callbacks);
  } catch (...) {
    set_log_sink({});
    throw;
  }
  set_log_sink({});
  return outcome;
}

Pipeline tiny_pipeline() {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  return Pipeline(open_components(open_model(test::test_file("golden/runs/sd1")), execution));
}

bool same(const std::vector<Image>& a, const std::vector<Image>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].rgb != b[i].rgb) return false;
  }
  return true;
}

const Fault kNone = [](RunStage, int) {};

TEST_CASE("what says that memory ran out") {
  CHECK(is_out_of_memory(std::bad_alloc()));
  CHECK(is_out_of_memory(std::runtime_error("could not execute a primitive")));
  CHECK(is_out_of_memory(
      std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again))));
  CHECK(is_out_of_memory(std::runtime_error("CUDA error: out of memory")));
  CHECK_FALSE(is_out_of_memory(std::runtime_error("no such file")));
  CHECK_FALSE(is_out_of_memory(Error::model("not enough memory in the model's name")));
}

TEST_CASE("limits shrink by halves, then leave only one part of the model in memory") {
  Plan plan;
  plan.latent_shape = {4, 8, 8};
  plan.branches = 2;
  Plan larger = plan;
  larger.latent_shape = {4, 16, 16};
  MemoryLimits limits;
  CHECK(limits.images(plan, 8) == 8);
  CHECK(limits.shrink(plan, 8));
  CHECK(limits.images(plan, 8) == 4);
  CHECK(limits.images(plan, 2) == 2);
  CHECK(limits.images(larger, 8) == 1);
  CHECK(limits.shrink(plan, 3));
  CHECK(limits.images(plan, 8) == 1);
  CHECK_FALSE(limits.lean());
  CHECK(limits.shrink(plan, 1));
  CHECK(limits.lean());
  CHECK_FALSE(limits.shrink(plan, 1));
}

TEST_CASE("a batch too large is made in smaller ones, the pictures staying the same") {
  const std::vector<Image> expected = [] {
    Pipeline pipeline = tiny_pipeline();
    return run(pipeline, 1, kNone).images;
  }();
  Pipeline pipeline = tiny_pipeline();
  const Outcome outcome = run(pipeline, 4, [](RunStage, int images) {
    if (images > 2) throw std::bad_alloc();
  });
  CHECK(same(outcome.images, expected));
  CHECK(outcome.warnings == std::vector<std::string>{"memory-short"});
  CHECK(outcome.batches == std::vector<int>{2, 2, 2, 2, 1, 1});
  // Later calls know it.
  CHECK(run(pipeline, 4, kNone).batches == std::vector<int>{2, 2, 2, 2, 1, 1});
}

TEST_CASE("pictures that were handed out before memory ran out are not made again") {
  Pipeline pipeline = tiny_pipeline();
  int decodes = 0;
  const Outcome outcome = run(pipeline, 4, [&decodes](RunStage stage, int) {
    if (stage == RunStage::kDecode && ++decodes == 2) throw std::bad_alloc();
  });
  CHECK(outcome.images.size() == 5);
  CHECK(outcome.batches == std::vector<int>{4, 4, 1, 1});
  CHECK(outcome.warnings == std::vector<std::string>{"memory-short"});
}

TEST_CASE("when one picture does not fit either, the numbers are told") {
  for (const RunStage stage : {RunStage::kPrepare, RunStage::kDecode}) {
    Pipeline pipeline = tiny_pipeline();
    int tries = 0;
    try {
      run(pipeline, 2, [&](RunStage at, int) {
        if (at != stage) return;
        ++tries;
        throw std::bad_alloc();
      });
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kMemory);
      CHECK(error.message().find("needs about ") != std::string::npos);
      CHECK(error.message().find(" more are free") != std::string::npos);
      CHECK(error.hint().find("--low-memory") != std::string::npos);
      CHECK(error.hint().find("--vae-tiling on") != std::string::npos);
    }
    CHECK(tries == (stage == RunStage::kPrepare ? 3 : 2));
  }
}

}  // namespace
}  // namespace ldm
