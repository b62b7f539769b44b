#include "ldm/io/resize.h"

#include "ldm/core/error.h"
#include "tests/io/pattern.h"
#include "tests/support/catch.h"

namespace ldm {
TEST_CASE("the same size is the same picture") {
  const Image image = test::pattern(9, 7);
  CHECK(resize_lanczos(image, 9, 7).rgb == image.rgb);
}

TEST_CASE("a plain colour stays plain") {
  Image image{5, 5, {}};
  for (int i = 0; i < 25; ++i) image.rgb.insert(image.rgb.end(), {10, 200, 255});
  const Image larger = resize_lanczos(image, 13, 8);
  REQUIRE(larger.rgb.size() == 13 * 8 * 3);
  for (std::size_t i = 0; i < larger.rgb.size(); i += 3) {
    CHECK(larger.rgb[i] == 10);
    CHECK(larger.rgb[i + 1] == 200);
    CHECK(larger.rgb[i + 2] == 255);
  }
}

TEST_CASE("a size below one is refused") {
  CHECK_THROWS_AS(resize_lanczos(test::pattern(4, 4), 0, 4), Error);
}

// Expected: Pillow 12, Image.fromarray(pattern).resize((w, h), Image.LANCZOS), FNV-1a of the bytes.
TEST_CASE("pictures equal Pillow's bit for bit") {
  CHECK(test::fnv(resize_lanczos(test::pattern(77, 50), 72, 48).rgb) == 6604772303955589998ULL);
  CHECK(test::fnv(resize_lanczos(test::pattern(40, 30), 64, 64).rgb) == 13919875125487579666ULL);
  CHECK(test::fnv(resize_lanczos(test::pattern(301, 17), 64, 8).rgb) == 3316024823280960715ULL);
}

}  // namespace ldm
