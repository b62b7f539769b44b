// Repainting with ordinary models against the public pipeline: scripts/goldens/inpainting.py.
#include <ATen/TensorOperators.h>

#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/schedulers/registry.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

Request request_of(const nlohmann::json& case_, const test::Golden& golden) {
  Request request;
  request.prompt = case_.at("prompt");
  request.negative_prompt = case_.at("negative_prompt");
  request.num_inference_steps = case_.at("num_inference_steps");
  request.guidance_scale = case_.at("guidance_scale");
  request.seed = case_.at("seed");
  request.sampler = case_.value("sampler", "");
  request.mask_blur = case_.value("mask_blur", 0.0);
  request.invert_mask = case_.value("invert_mask", false);
  request.width = case_.value("width", 0);
  request.height = case_.value("height", 0);
  if (case_.contains("strength")) request.strength = case_.at("strength").get<double>();
  const int width = case_.contains("init_image") ? case_.at("init_image")[0].get<int>() : 64;
  request.init_image = test::image_of(golden.at("init_image." + std::to_string(width)));
  request.mask = test::image_of(golden.at("mask." + std::to_string(width)));
  return request;
}

}  // namespace

TEST_CASE("repainting with ordinary models equals the public pipeline", "[golden]") {
  const test::Golden golden("inpainting");
  Pipeline sd1 = test::open_tiny("sd1");
  Pipeline sd2 = test::open_tiny("sd2");
  int cases = 0;
  for (const auto& [key, text] : golden.metadata) {
    if (!key.starts_with("case.")) continue;
    INFO(key);
    const std::string name = key.substr(5);
    const auto case_ = nlohmann::json::parse(text);
    const Request request = request_of(case_, golden);
    const auto results = test::run(case_.value("model", "sd1") == "sd1" ? sd1 : sd2, request);
    REQUIRE(results.size() == 1);
    test::expect_close(latents_to_tensor(results[0].latents, 0, 1), golden.at(name + ".latents"),
                       1e-4, "latents");
    if (golden.has(name + ".image")) {
      const auto expected = test::image_of(golden.at(name + ".image"));
      CHECK(test::largest_difference(results[0].image, *expected) <= 1);
    }
    ++cases;
  }
  CHECK(cases >= 21);
}

TEST_CASE("what the mask keeps is kept to the byte, with every sampler, in both readings") {
  const test::Golden golden("inpainting");
  Pipeline pipeline = test::open_tiny("sd1");
  const auto blurred = nlohmann::json::parse(golden.metadata.at("case.blurred"));
  for (const SamplerEntry& row : samplers()) {
    if (row.traits.levels == LevelChoice::kContinuous) continue;  // of other models only
    for (const StrengthMode mode : {StrengthMode::kScaled, StrengthMode::kExact}) {
      INFO(row.name);
      Request request = request_of(blurred, golden);
      request.sampler = row.name;
      request.num_inference_steps = 2;
      request.strength = mode == StrengthMode::kScaled ? 1.0 : 0.6;
      request.strength_mode = mode;
      const Plan plan = pipeline.plan(request);
      const auto results = test::run(pipeline, request);
      REQUIRE(results.size() == 1);
      const Image& image = results[0].image;
      std::size_t kept = 0;
      std::size_t repainted = 0;
      bool same = true;
      for (std::size_t i = 0; i < image.rgb.size(); ++i) {
        if (plan.mask->grey[i / 3] == 0) {
          ++kept;
          same = same && image.rgb[i] == request.init_image->rgb[i];
        } else if (image.rgb[i] != request.init_image->rgb[i]) {
          ++repainted;
        }
      }
      CHECK(same);
      CHECK(kept > 1000);
      CHECK(repainted > 1000);
    }
  }
}

TEST_CASE("an image repainted in a batch is the image repainted alone") {
  const test::Golden golden("inpainting");
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = request_of(nlohmann::json::parse(golden.metadata.at("case.part")), golden);
  request.sampler = "euler-a";
  request.num_images = 3;
  request.batch_size = 3;
  const auto together = test::run(pipeline, request);
  request.num_images = 1;
  for (std::uint64_t k = 0; k < 3; ++k) {
    request.seed = 7 + k;
    const auto alone = test::run(pipeline, request);
    CHECK(alone[0].stages.first_latents == together[k].stages.first_latents);
    test::expect_close(latents_to_tensor(together[k].latents, 0, 1),
                       latents_to_tensor(alone[0].latents, 0, 1), 1e-5, "latents");
  }
}

TEST_CASE("strength 0 keeps the picture, a mask of another size is refused by both sizes") {
  const test::Golden golden("inpainting");
  Pipeline pipeline = test::open_tiny("sd1");
  Request request = request_of(nlohmann::json::parse(golden.metadata.at("case.default")), golden);
  request.strength = 0.0;
  CHECK(pipeline.plan(request).timesteps.empty());
  CHECK(test::run(pipeline, request).size() == 1);
  request.mask = test::image_of(golden.at("mask.77"));
  try {
    pipeline.plan(request);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kInput);
    CHECK(error.message() == "the mask has 77x69 pixels, the picture that it masks 64x64");
  }
}

}  // namespace ldm
