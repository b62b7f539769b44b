#include "ldm/io/canny.h"

#include <algorithm>

#include "tests/support/catch.h"

namespace ldm {
namespace {

Image plain(int width, int height, std::uint8_t value) {
  const auto bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
  return {width, height, std::vector<std::uint8_t>(bytes, value)};
}

std::size_t white(const Image& image) {
  return static_cast<std::size_t>(std::count(image.rgb.begin(), image.rgb.end(), 255)) / 3;
}

}  // namespace

TEST_CASE("a plain picture has no edges, a step has one line of them") {
  CHECK(white(canny_edges(plain(9, 7, 200), 100, 200)) == 0);
  Image step = plain(10, 6, 0);
  for (int y = 0; y < 6; ++y) {
    for (int x = 5; x < 10; ++x) step.rgb[static_cast<std::size_t>((y * 10 + x) * 3 + 1)] = 255;
  }
  CHECK(white(canny_edges(step, 100, 200)) == 6);
  CHECK(white(canny_edges(step, 2000, 3000)) == 0);
  CHECK(canny_edges(step, 200, 100).rgb == canny_edges(step, 100, 200).rgb);
}

TEST_CASE("the smallest pictures have edges too") {
  CHECK(white(canny_edges(plain(1, 1, 9), 0, 0)) == 0);
  Image pair = plain(2, 1, 0);
  pair.rgb[3] = 255;
  CHECK(white(canny_edges(pair, 10, 20)) <= 2);
}

}  // namespace ldm
