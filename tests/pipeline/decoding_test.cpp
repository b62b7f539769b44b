#include "ldm/pipeline/decoding.h"

#include <ATen/ops/full_like.h>

#include <limits>

#include "ldm/core/error.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

DecodedImage image_of_plan(const std::shared_ptr<Components>& components, int index) {
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 2;
  DecodedImage image;
  image.plan = Pipeline(components).plan(request);
  image.wanted.index = index;
  image.seed = 7 + static_cast<std::uint64_t>(index);
  return image;
}

at::Tensor latents_of(const DecodedImage& image) {
  const auto& shape = image.plan.latent_shape;
  return test::seeded_randn({1, shape[0], shape[1], shape[2]}, image.seed);
}

std::shared_ptr<Components> on_device(bool gpu) {
  return gpu ? test::components_on_gpu("sd1", "fp32") : test::tiny_components("sd1");
}

void check_launched(bool gpu) {
  const auto components = on_device(gpu);
  Decoding decoding(*components);
  std::vector<ImageResult> results;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&& result) { results.push_back(std::move(result)); };
  std::vector<DecodedImage> images;
  for (int k = 0; k < 3; ++k) {
    images.push_back(image_of_plan(components, k));
    decoding.launch(images.back(), latents_of(images.back()).to(components->execution.device),
                    callbacks);
  }
  CHECK(results.empty());
  CHECK(decoding.launched() == 3);
  decoding.hand_out_ready();
  decoding.hand_out_all();
  CHECK(decoding.launched() == 0);
  REQUIRE(results.size() == 3);
  CHECK(decoding.seconds().size() == 3);
  for (std::size_t k = 0; k < 3; ++k) {
    const ImageResult expected =
        decoding.decode(images[k], latents_of(images[k]).to(components->execution.device));
    CHECK(results[k].index == static_cast<int>(k));
    CHECK(results[k].seed == images[k].seed);
    CHECK(results[k].stages.picture == expected.stages.picture);
    CHECK(results[k].stages.latents == expected.stages.latents);
    CHECK(results[k].image.rgb == expected.image.rgb);
    CHECK(results[k].latents.values == expected.latents.values);
  }
}

void check_broken(bool gpu) {
  const auto components = on_device(gpu);
  Decoding decoding(*components);
  const DecodedImage image = image_of_plan(components, 0);
  const at::Tensor sound = latents_of(image).to(components->execution.device);
  const at::Tensor broken = at::full_like(sound, std::numeric_limits<float>::quiet_NaN());
  int made = 0;
  std::vector<int> faults;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&&) { ++made; };
  decoding.launch(image, broken, callbacks);
  CHECK_THROWS_AS(decoding.hand_out_all(), Error);
  callbacks.on_failed = [&](int, const Error& error) { faults.push_back(error.exit_code()); };
  decoding.launch(image, broken, callbacks);
  decoding.launch(image, sound, callbacks);
  decoding.hand_out_all();
  CHECK(faults == std::vector<int>{static_cast<int>(ErrorCode::kNonFinite)});
  CHECK(made == 1);
}

}  // namespace

TEST_CASE("a launched picture is the one that is decoded at once, in the order of launching") {
  check_launched(false);
}

TEST_CASE("a picture that cannot be decoded is told of, and those after it are made") {
  check_broken(false);
}

TEST_CASE("a GPU's launched pictures are those that are decoded at once", "[gpu]") {
  if (!test::has_gpu()) return;
  check_launched(true);
  check_broken(true);
}

}  // namespace ldm
