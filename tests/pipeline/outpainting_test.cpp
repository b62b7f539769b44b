#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/repainting.h"
#include "tests/io/pattern.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

Request around(const Image& start, const Margins& margins) {
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 2;
  request.seed = 7;
  request.init_image = std::make_shared<Image>(start);
  request.outpaint = margins;
  return request;
}

/// Whether the picture shows `start` at (left, top), byte for byte.
bool shows(const Image& picture, const Image& start, int left, int top) {
  for (int y = 0; y < start.height; ++y) {
    const auto row = start.rgb.begin() + std::ptrdiff_t{y} * start.width * 3;
    const std::ptrdiff_t at = (std::ptrdiff_t{y + top} * picture.width + left) * 3;
    if (!std::equal(row, row + std::ptrdiff_t{start.width} * 3, picture.rgb.begin() + at)) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("a canvas grows around the picture, which stays to the byte") {
  Pipeline pipeline = test::open_tiny("sd1");
  const Image start = test::pattern(61, 50);
  const Request request = around(start, {8, 0, 5, 10});
  const Plan plan = pipeline.plan(request);
  // 61 + 13 and 50 + 10, rounded up to whole latents at the right and the bottom.
  CHECK(plan.request.width == 80);
  CHECK(plan.request.height == 64);
  CHECK(plan.blends());
  CHECK(*plan.request.strength == 1.0);
  CHECK(plan.mask->grey[0] == 255);
  CHECK(plan.mask->grey[8] == 0);
  CHECK(plan.mask->grey[8 + 61] == 255);
  CHECK(plan.request.init_image->rgb[0] == start.rgb[0]);
  const auto results = test::run(pipeline, request);
  REQUIRE(results.size() == 1);
  CHECK(shows(results[0].image, start, 8, 0));
}

TEST_CASE("a mask is part of the picture that the canvas grows around") {
  Pipeline pipeline = test::open_tiny("sd1");
  const Image start = test::pattern(64, 64);
  Request request = around(start, {0, 16, 0, 0});
  Image mask{64, 64, std::vector<std::uint8_t>(12288)};
  for (int i = 0; i < 3; ++i) mask.rgb[static_cast<std::size_t>(i)] = 255;
  request.mask = std::make_shared<Image>(mask);
  const Plan plan = pipeline.plan(request);
  CHECK(plan.request.height == 80);
  CHECK(plan.mask->grey[16 * 64] == 255);
  CHECK(plan.mask->grey[16 * 64 + 1] == 0);
  request.invert_mask = true;
  const Plan inverted = pipeline.plan(request);
  CHECK(inverted.mask->grey[0] == 255);
  CHECK(inverted.mask->grey[16 * 64] == 0);
  CHECK(inverted.mask->grey[16 * 64 + 1] == 255);
}

TEST_CASE("a canvas of another size than asked for, or without a picture, is refused") {
  const Pipeline pipeline = test::open_tiny("sd1");
  Request request = around(test::pattern(64, 64), {0, 0, 64, 0});
  request.width = 512;
  request.height = 512;
  try {
    pipeline.plan(request);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.message() == "--outpaint gives 128x64, --width 512 asks for another size");
  }
  request.width = 128;
  request.height = 64;
  CHECK(pipeline.plan(request).request.width == 128);
  request.init_image.reset();
  CHECK_THROWS_AS(pipeline.plan(request), Error);
}

TEST_CASE("only the side that grows is rounded") {
  Request request = around(test::pattern(61, 64), {3, 0, 0, 0});
  grow_canvas(request, 8);
  CHECK(request.init_image->width == 64);
  request = around(test::pattern(61, 64), {4, 0, 0, 0});
  grow_canvas(request, 8);
  CHECK(request.init_image->width == 72);
  CHECK(shows(*request.init_image, test::pattern(61, 64), 11, 0));
}

}  // namespace ldm
