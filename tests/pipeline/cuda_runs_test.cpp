#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

// Whole runs on a GPU against the CPU's; without a GPU there is nothing to test.
namespace ldm {
namespace {

Pipeline on_gpu(const std::string& model, const std::string& dtype) {
  return Pipeline(test::components_on_gpu(model, dtype));
}

Request apples(int images) {
  Request request;
  request.prompt = "a red apple";
  request.seed = 7;
  request.num_images = images;
  request.batch_size = images;
  request.num_inference_steps = 12;
  return request;
}

}  // namespace

TEST_CASE("latents of a GPU in fp32 are the CPU's", "[gpu]") {
  if (!test::has_gpu()) return;
  for (const std::string model : {"sd1", "sd2"}) {
    for (const char* sampler : {"ddim", "euler-a", "dpmpp-2m"}) {
      CAPTURE(model, sampler);
      Request request = apples(2);
      request.sampler = sampler;
      Pipeline cpu = test::open_tiny(model);
      Pipeline gpu = on_gpu(model, "fp32");
      const auto expected = test::run(cpu, request);
      const auto actual = test::run(gpu, request);
      for (std::size_t k = 0; k < expected.size(); ++k) {
        test::expect_close(at::tensor(actual[k].latents.values),
                           at::tensor(expected[k].latents.values), 1e-3);
      }
    }
  }
}

TEST_CASE("TF32 is near fp32", "[gpu]") {
  if (!test::has_gpu()) return;
  Pipeline fp32 = on_gpu("sd1", "fp32");
  const auto expected = test::run(fp32, apples(1));
  Pipeline tf32 = on_gpu("sd1", "tf32");
  const auto actual = test::run(tf32, apples(1));
  test::expect_close(at::tensor(actual.front().latents.values),
                     at::tensor(expected.front().latents.values), 5e-2);
}

TEST_CASE("a GPU's picture does not depend on its batch, nor on what was recorded before",
          "[gpu]") {
  if (!test::has_gpu()) return;
  Pipeline gpu = on_gpu("sd1", "fp32");
  gpu.expect_more_runs();
  const auto batch = test::run(gpu, apples(3));
  Request other = apples(1);
  other.prompt = "a green pear";
  test::run(gpu, other);
  for (std::size_t k = 0; k < 3; ++k) {
    Request alone = apples(1);
    alone.seed += k;
    test::expect_close(at::tensor(test::run(gpu, alone).front().latents.values),
                       at::tensor(batch[k].latents.values), 1e-3);
  }
}

TEST_CASE("pictures that a GPU decodes beside later runs are handed out in them, whole", "[gpu]") {
  if (!test::has_gpu()) return;
  Pipeline plain = on_gpu("sd1", "fp32");
  plain.expect_more_runs();
  Pipeline late = on_gpu("sd1", "fp32");
  late.expect_more_runs();
  late.allow_late_pictures();
  std::vector<ImageResult> expected, actual;
  for (const std::uint64_t seed : {3, 4, 5}) {
    Request request = apples(2);
    request.batch_size = 1;
    request.seed = seed;
    for (ImageResult& result : test::run(plain, request)) expected.push_back(std::move(result));
    RunCallbacks callbacks;
    callbacks.on_image = [&](ImageResult&& result) { actual.push_back(std::move(result)); };
    late.run(late.plan(request), callbacks);
  }
  CHECK(actual.size() >= 4);
  late.finish();
  REQUIRE(actual.size() == expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    CHECK(actual[k].seed == expected[k].seed);
    CHECK(test::largest_difference(actual[k].image, expected[k].image) <= 1);
  }
}

TEST_CASE("low memory streams a GPU's weights and changes no picture", "[gpu]") {
  if (!test::has_gpu()) return;
  for (const std::string model : {"sd1", "sd2"}) {
    for (const int deep_cache : {1, 3}) {
      CAPTURE(model, deep_cache);
      Request request = apples(2);
      request.deep_cache = deep_cache;
      Pipeline gpu = on_gpu(model, "fp16");
      gpu.expect_more_runs();
      const auto expected = test::run(gpu, request);
      request.low_memory = true;
      // Read again the second time, and to stay on the GPU the third.
      for (int again = 0; again < 3; ++again) {
        if (again == 2) request.low_memory = false;
        const auto actual = test::run(gpu, request);
        for (std::size_t k = 0; k < expected.size(); ++k) {
          test::expect_close(at::tensor(actual[k].latents.values),
                             at::tensor(expected[k].latents.values), 1e-3);
        }
      }
    }
  }
}

}  // namespace ldm
