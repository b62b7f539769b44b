// Guidance intervals, FreeU, DeepCache and perturbed attention against the public pipelines:
// scripts/goldens/steering.py.
#include <ATen/TensorOperators.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

Request request_of(const nlohmann::json& c) {
  Request request = test::request_of_case(c);
  request.guidance_rescale = c.value("guidance_rescale", 0.0);
  request.pag_scale = c.value("pag_scale", 0.0);
  request.pag_layers = c.value("pag_layers", "mid");
  if (c.contains("guidance_interval")) {
    request.guidance_start = c["guidance_interval"][0];
    request.guidance_end = c["guidance_interval"][1];
  }
  request.sag_scale = c.value("sag_scale", 0.0);
  request.deep_cache = c.value("deep_cache", 1);
  if (c.contains("freeu")) {
    const auto& f = c["freeu"];
    request.freeu = FreeUFactors{f[0], f[1], f[2], f[3]};
  }
  return request;
}

Request plain_request() {
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 5;
  request.sampler = "ddim";
  request.seed = 3;
  return request;
}

/// Pictures of a batch are those that each would be alone.
void expect_apart(Pipeline& pipeline, Request request, double tolerance) {
  request.num_images = 3;
  request.batch_size = 3;
  const at::Tensor together = test::latents_of(pipeline, request);
  request.batch_size = 1;
  test::expect_close(test::latents_of(pipeline, request), together, tolerance);
}

}  // namespace

TEST_CASE("guidance intervals, FreeU, DeepCache, PAG and SAG equal the public pipelines'",
          "[golden]") {
  const test::Golden golden("steering");
  std::map<std::string, std::unique_ptr<Pipeline>> pipelines;
  int cases = 0;
  for (const auto& [key, text] : golden.metadata) {
    if (key.rfind("case.", 0) != 0) continue;
    INFO(key << " " << text);
    const std::string name = key.substr(5, 3);
    std::unique_ptr<Pipeline>& pipeline = pipelines[name];
    if (!pipeline) pipeline = std::make_unique<Pipeline>(test::tiny_components(name));
    Request request = request_of(nlohmann::json::parse(text));
    for (const int batch : {1, 2}) {
      if (batch > request.num_images) continue;
      request.batch_size = batch;
      test::expect_close(test::latents_of(*pipeline, request), golden.at(key.substr(5)), 1e-4, key);
    }
    ++cases;
  }
  CHECK(cases == 36);
}

TEST_CASE("what steers one run is gone in the next, and neutral values change nothing") {
  Pipeline pipeline = test::open_tiny("sd1");
  const Request plain = plain_request();
  const at::Tensor before = test::latents_of(pipeline, plain);
  Request steered = plain;
  steered.freeu = FreeUFactors{1.5, 1.6, 0.9, 0.2};
  steered.pag_scale = 3;
  CHECK_FALSE(at::equal(test::latents_of(pipeline, steered), before));
  CHECK(at::equal(test::latents_of(pipeline, plain), before));
  steered = plain;
  steered.sag_scale = 1;
  CHECK_FALSE(at::equal(test::latents_of(pipeline, steered), before));
  CHECK(at::equal(test::latents_of(pipeline, plain), before));
  steered = plain;
  steered.deep_cache = 2;
  CHECK_FALSE(at::equal(test::latents_of(pipeline, steered), before));
  CHECK(at::equal(test::latents_of(pipeline, plain), before));
  Request neutral = plain;
  neutral.guidance_start = 0;
  neutral.guidance_end = 1;
  CHECK(at::equal(test::latents_of(pipeline, neutral), before));
  neutral.freeu = FreeUFactors{1, 1, 1, 1};
  test::expect_close(test::latents_of(pipeline, neutral), before, 1e-4);
}

TEST_CASE("an interval saves the predictions outside it, and an empty one is no guidance") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = plain_request();
  request.num_inference_steps = 10;
  CHECK(pipeline.plan(request).predictions() == 20);
  const double whole = pipeline.picture_cost(pipeline.plan(request)).steps;
  request.guidance_start = 0.2;
  request.guidance_end = 0.8;
  CHECK(pipeline.plan(request).predictions() == 16);
  CHECK(pipeline.picture_cost(pipeline.plan(request)).steps == Approx(0.8 * whole));
  request.pag_scale = 1;
  CHECK(pipeline.plan(request).predictions() == 26);
  request.pag_scale = 0;
  request.sag_scale = 1;
  CHECK(pipeline.plan(request).predictions() == 26);
  request = plain_request();
  request.guidance_end = 0;
  Request unguided = plain_request();
  unguided.guidance_scale = 1;
  // At scale 1 and below there is no guidance, whatever the negative prompt, as in diffusers.
  Request zero = unguided;
  zero.guidance_scale = 0;
  zero.negative_prompt = "token1";
  test::expect_close(test::latents_of(pipeline, request), test::latents_of(pipeline, unguided),
                     1e-5);
  CHECK(at::equal(test::latents_of(pipeline, zero), test::latents_of(pipeline, unguided)));
}

TEST_CASE("DeepCache keeps pictures apart and survives where guidance begins and ends") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = plain_request();
  request.num_inference_steps = 9;
  request.deep_cache = 3;
  request.guidance_start = 0.25;
  request.guidance_end = 0.6;
  expect_apart(pipeline, request, 1e-5);
  request.pag_scale = 2;
  CHECK_THROWS_WITH(pipeline.plan(request), Catch::Contains("DeepCache leaves out"));
}

TEST_CASE("self-attention guidance keeps pictures apart and stands alone") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = plain_request();
  request.sag_scale = 0.75;
  request.guidance_end = 0.5;
  expect_apart(pipeline, request, 1e-4);
  request.pag_scale = 2;
  CHECK_THROWS_WITH(pipeline.plan(request), Catch::Contains("works without perturbed attention"));
}

TEST_CASE("layers that a model lacks and intervals that are none are refused together") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = plain_request();
  request.pag_scale = 2;
  request.pag_layers = "mid,up_blocks.7";
  request.guidance_start = 0.9;
  request.guidance_end = 0.1;
  CHECK_THROWS_WITH(pipeline.plan(request),
                    Catch::Contains("the guidance interval 0.9,0.1 is not within 0…1") &&
                        Catch::Contains("no self-attention of this model has \"up_blocks.7\""));
}

}  // namespace ldm
