// Expected: Pillow 13 on `test::pattern` (tests/io/pattern.h), FNV-1a of the bytes.
#include "ldm/io/grey_image.h"

#include <algorithm>

#include "tests/io/pattern.h"
#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("luminance equals Pillow's bit for bit") {
  CHECK(test::fnv(to_grey(test::pattern(77, 50)).grey) == 12051224568708686090ULL);
}

TEST_CASE("blurred pictures equal Pillow's bit for bit") {
  const GreyImage grey = to_grey(test::pattern(77, 50));
  CHECK(gaussian_blur(grey, 0).grey == grey.grey);
  CHECK(test::fnv(gaussian_blur(grey, 0.5).grey) == 10963831802718904564ULL);
  CHECK(test::fnv(gaussian_blur(grey, 1).grey) == 159362895582819913ULL);
  CHECK(test::fnv(gaussian_blur(grey, 4).grey) == 17168190872082202935ULL);
  CHECK(test::fnv(gaussian_blur(grey, 8.3).grey) == 4540695483290996226ULL);
  CHECK(test::fnv(gaussian_blur(grey, 33).grey) == 16980967471400823168ULL);
  CHECK(test::fnv(gaussian_blur(grey, 100).grey) == 15196561714836300845ULL);
}

TEST_CASE("composites equal Pillow's bit for bit, and the kept picture where the mask is 0") {
  const Image over = test::pattern(77, 50);
  Image under = over;
  const std::size_t row = 77 * 3;
  for (std::size_t y = 0; y < 50; ++y) {
    std::copy_n(over.rgb.data() + (49 - y) * row, row, under.rgb.data() + y * row);
  }
  GreyImage mask = gaussian_blur(to_grey(over), 2);
  CHECK(test::fnv(composite(over, under, mask).rgb) == 14927926484309673588ULL);
  std::fill(mask.grey.begin(), mask.grey.end(), std::uint8_t{0});
  CHECK(composite(over, under, mask).rgb == under.rgb);
  std::fill(mask.grey.begin(), mask.grey.end(), std::uint8_t{255});
  CHECK(composite(over, under, mask).rgb == over.rgb);
}

TEST_CASE("a picture grows by its edge, a mask by a value") {
  const Image image{2, 1, {1, 2, 3, 4, 5, 6}};
  const Image grown = grown_by_edge(image, {1, 0, 2, 1});
  CHECK(grown.width == 5);
  CHECK(grown.height == 2);
  const std::vector<std::uint8_t> row = {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6};
  CHECK(std::equal(row.begin(), row.end(), grown.rgb.begin()));
  CHECK(std::equal(row.begin(), row.end(), grown.rgb.begin() + 15));
  const Image mask = grown_by_value({1, 1, {7, 8, 9}}, {1, 1, 0, 0}, 255);
  CHECK(mask.rgb ==
        std::vector<std::uint8_t>{255, 255, 255, 255, 255, 255, 255, 255, 255, 7, 8, 9});
}

}  // namespace ldm
