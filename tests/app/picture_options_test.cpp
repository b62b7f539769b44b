#include "ldm/app/picture_options.h"

#include "ldm/app/check_options.h"
#include "tests/support/catch.h"

namespace ldm::app {

TEST_CASE("margins are four numbers of pixels, not all of them 0") {
  CHECK(parse_margins("1,2,3,4") == Margins{1, 2, 3, 4});
  CHECK(parse_margins("0,0,8192,0") == Margins{0, 0, 8192, 0});
  for (const char* bad : {"", "8", "1,2,3", "1,2,3,4,5", "1,2,3,", ",1,2,3", "1, 2,3,4", "-1,0,0,8",
                          "0,0,0,0", "0,0,8193,0", "1.5,0,0,0", "a,b,c,d"}) {
    INFO(bad);
    CHECK_FALSE(parse_margins(bad));
  }
}

TEST_CASE("what belongs to a second pass needs one, and seams need whole pictures") {
  const auto first = [](const Options& options) {
    const auto problems = check_options(options);
    return problems.empty() ? std::string() : problems.front().message;
  };
  Options options;
  options.hires_steps = 3;
  CHECK(first(options) == "--hires-steps needs a second pass");
  options.hires_scale = 2;
  options.strength_mode = "exact";
  CHECK(first(options).empty());
  options.init_image = "a.png";
  CHECK(first(options) == "--hires-scale works for text to image only");
  Options tile;
  tile.tile = "x";
  tile.vae_tiling = "on";
  CHECK(first(tile) != "");
  tile.vae_tiling = "auto";
  CHECK(first(tile).empty());
  Options guided;
  guided.guidance_scale = -1;
  CHECK(first(guided).empty());
}

}  // namespace ldm::app
