#include "ldm/pipeline/plan.h"

#include <functional>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/schedulers/scheduler.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

std::shared_ptr<Components> model() {
  ExecutionRequest execution;
  execution.device = "cpu";
  static const auto components =
      open_components(open_model(test::test_file("golden/runs/sd1")), execution);
  return components;
}

Plan plan(const std::function<void(Request&)>& change) {
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 10;
  change(request);
  return make_plan(*model(), request);
}

Error refusal(const std::function<void(Request&)>& change) {
  try {
    plan(change);
  } catch (const Error& error) {
    return error;
  }
  FAIL("accepted");
  return Error::internal("");
}

std::shared_ptr<const Image> picture(int width, int height) {
  auto image = std::make_shared<Image>();
  image->width = width;
  image->height = height;
  image->rgb.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  return image;
}

}  // namespace

TEST_CASE("sizes come from the request, else the init image, else the model") {
  CHECK(plan([](Request&) {}).request.width == 64);
  CHECK(plan([](Request& r) { r.width = 96; }).latent_shape == std::vector<std::int64_t>{4, 8, 12});
  const Plan image = plan([](Request& r) { r.init_image = picture(77, 50); });
  CHECK(image.request.width == 72);
  CHECK(image.request.height == 48);
}

TEST_CASE("everything wrong with a request is told at once") {
  const Error error = refusal([](Request& r) {
    r.width = 517;
    r.height = -8;
    r.num_images = 0;
    r.strength = 2;
  });
  CHECK(error.exit_code() == 2);
  CHECK_THAT(error.message(), Contains("width 517 is not a positive multiple of 8: 512 or 520"));
  CHECK_THAT(error.message(), Contains("height -8"));
  CHECK_THAT(error.message(), Contains("number of images"));
  CHECK_THAT(error.message(), Contains("strength"));
}

TEST_CASE("strength takes its share of the steps as the public pipelines do") {
  const auto steps = [](int planned, double strength, StrengthMode mode) {
    return plan([&](Request& r) {
             r.sampler = "ddim";
             r.init_image = picture(64, 64);
             r.num_inference_steps = planned;
             r.strength = strength;
             r.strength_mode = mode;
           })
        .steps;
  };
  CHECK(steps(50, 0.3, StrengthMode::kScaled) == 15);
  CHECK(steps(100, 0.29, StrengthMode::kScaled) == 28);  // int(28.999…)
  CHECK(steps(10, 1.0, StrengthMode::kScaled) == 10);
  CHECK(steps(10, 0.0, StrengthMode::kScaled) == 0);
  CHECK(steps(10, 0.3, StrengthMode::kExact) == 10);
  CHECK_THROWS_AS(steps(500, 0.1, StrengthMode::kExact), Error);
}

TEST_CASE("PNDM asks the UNet once more than it has steps") {
  const Plan pndm = plan([](Request& r) { r.sampler = "pndm"; });
  CHECK(pndm.steps == 11);
  CHECK(pndm.timesteps[1] == pndm.timesteps[2]);
}

TEST_CASE("guidance of 1 or less computes no unconditional half") {
  CHECK(!plan([](Request& r) { r.guidance_scale = 1.0; }).guided());
  CHECK(plan([](Request& r) { r.guidance_scale = 1.01; }).guided());
}

TEST_CASE("a prompt that is cut is reported, or refused on request") {
  std::string text;
  for (int i = 0; i < 90; ++i) text += "word ";
  const Plan cut = plan([&](Request& r) { r.prompt = text; });
  CHECK(cut.prompts[0].texts[0].ids.size() == 77);
  CHECK(!cut.prompts[0].texts[0].cut_text.empty());
  const Error error = refusal([&](Request& r) {
    r.prompt = text;
    r.long_prompt = LongPrompt::kError;
  });
  CHECK(error.exit_code() == 3);
}

TEST_CASE("an unknown sampler is a usage error with a suggestion") {
  const Error error = refusal([](Request& r) { r.sampler = "eulr"; });
  CHECK(error.exit_code() == 2);
  CHECK_THAT(error.hint(), Contains("euler"));
}

TEST_CASE("init latents must have the model's shape and enough images") {
  const auto latents = std::make_shared<LatentsData>();
  latents->shape = {1, 3, 8, 8};
  latents->values.resize(3 * 64);
  CHECK_THAT(refusal([&](Request& r) { r.init_latents = latents; }).message(),
             Contains("init latents are [1, 3, 8, 8]"));
  latents->shape = {2, 4, 8, 8};
  latents->values.resize(2 * 256);
  CHECK_THAT(refusal([&](Request& r) {
               r.init_latents = latents;
               r.num_images = 3;
             }).message(),
             Contains("hold 2 images"));
}

TEST_CASE("a callback that says stop stops the run") {
  Pipeline pipeline(model());
  int steps = 0;
  RunCallbacks callbacks;
  callbacks.on_step = [&](const StepInfo&) { return ++steps < 2; };
  callbacks.on_image = [](ImageResult&&) { FAIL("a picture came out"); };
  try {
    pipeline.run(plan([](Request&) {}), callbacks);
    FAIL("ran to the end");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kInterrupted);
  }
  CHECK(steps == 2);
}

TEST_CASE("image k of a request equals the single image with seed + k") {
  Pipeline pipeline(model());
  const auto images = [&](std::uint64_t seed, int count, int batch) {
    std::vector<std::vector<std::uint8_t>> all;
    RunCallbacks callbacks;
    callbacks.on_image = [&](ImageResult&& result) { all.push_back(std::move(result.image.rgb)); };
    pipeline.run(plan([&](Request& r) {
                   r.seed = seed;
                   r.num_images = count;
                   r.batch_size = batch;
                   r.sampler = "euler-a";
                   r.num_inference_steps = 4;
                 }),
                 callbacks);
    return all;
  };
  const auto three = images(40, 3, 1);
  CHECK(three.at(2) == images(42, 1, 1).at(0));
  CHECK(three.at(0) != three.at(1));
  CHECK(images(40, 3, 2).size() == 3);
}

}  // namespace ldm
