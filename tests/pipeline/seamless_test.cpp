// Circular convolutions against the public pipelines' own: scripts/goldens/tiling.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/roll.h>

#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

Request request_of(const nlohmann::json& case_, const test::Golden& golden) {
  Request request;
  request.prompt = case_.at("prompt");
  request.num_inference_steps = case_.at("num_inference_steps");
  request.guidance_scale = case_.at("guidance_scale");
  request.seed = 7;
  const std::string sides = case_.at("tile");
  request.tile = {sides.starts_with('x'), sides.ends_with('y')};
  if (case_.contains("strength")) {
    request.strength = case_.at("strength").get<double>();
    request.init_image = test::image_of(golden.at("init_image"));
  }
  return request;
}

}  // namespace

TEST_CASE("seamless pictures equal the public pipelines with circular padding", "[golden]") {
  const test::Golden golden("tiling");
  Pipeline pipeline = test::open_tiny("sd1");
  // One pipeline, one way after the other: packed weights must follow.
  for (const std::string name : {"xy", "x", "y", "image_xy"}) {
    INFO(name);
    const auto case_ = nlohmann::json::parse(golden.metadata.at("case." + name));
    const auto results = test::run(pipeline, request_of(case_, golden));
    REQUIRE(results.size() == 1);
    test::expect_close(latents_to_tensor(results[0].latents, 0, 1), golden.at(name + ".latents"),
                       1e-4, "latents");
    CHECK(test::largest_difference(results[0].image, *test::image_of(golden.at(name + ".image"))) <=
          1);
  }
}

TEST_CASE("noise moved across the edge moves a seamless picture across it") {
  Pipeline pipeline = test::open_tiny("sd1");
  const test::Golden golden("tiling");
  const auto case_ = nlohmann::json::parse(golden.metadata.at("case.xy"));
  Request request = request_of(case_, golden);
  const at::Tensor noise = test::seeded_randn({1, 4, 8, 8}, 5);
  const auto run_with = [&](const at::Tensor& start) {
    request.init_latents = std::make_shared<LatentsData>(tensor_to_latents(start));
    return latents_to_tensor(test::run(pipeline, request).at(0).latents, 0, 1);
  };
  const at::Tensor still = run_with(noise);
  const at::Tensor moved = run_with(at::roll(noise, {2, 4}, {2, 3}));
  test::expect_close(moved, at::roll(still, {2, 4}, {2, 3}), 1e-4, "moved");
}

TEST_CASE("tiles of the autoencoder would show, so they are refused") {
  const Pipeline pipeline = test::open_tiny("sd1");
  Request request;
  request.prompt = "a";
  request.tile.x = true;
  request.vae_tiling = VaeTiling::kOn;
  CHECK_THROWS_AS(pipeline.plan(request), Error);
}

}  // namespace ldm
