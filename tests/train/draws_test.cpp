#include "ldm/train/draws.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <set>

#include "tests/support/catch.h"

using ldm::train::draw_for;
using ldm::train::draw_key;

TEST_CASE("draws depend on seed, purpose and number only") {
  const auto noise = [](std::uint64_t seed, const char* purpose, std::uint64_t number) {
    return at::randn({16}, draw_for(seed, purpose, number));
  };
  CHECK(at::equal(noise(1, "noise", 7), noise(1, "noise", 7)));
  CHECK_FALSE(at::equal(noise(1, "noise", 7), noise(2, "noise", 7)));
  CHECK_FALSE(at::equal(noise(1, "noise", 7), noise(1, "crop", 7)));
  CHECK_FALSE(at::equal(noise(1, "noise", 7), noise(1, "noise", 8)));
}

TEST_CASE("the keys of neighbouring samples do not collide") {
  std::set<std::uint64_t> keys;
  for (std::uint64_t number = 0; number < 10000; ++number)
    keys.insert(draw_key(0, "noise", number));
  CHECK(keys.size() == 10000);
}
