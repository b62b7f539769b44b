#include "ldm/core/config_types.h"

#include <stdexcept>

#include "tests/support/catch.h"

TEST_CASE("a single value holds for every level") {
  const ldm::IntOrList heads{8};
  CHECK_FALSE(heads.is_list);
  CHECK(heads.at(0) == 8);
  CHECK(heads.at(7) == 8);
  CHECK(heads.fits(4));
}

TEST_CASE("a list holds one value a level") {
  const ldm::IntOrList heads{std::vector<std::int64_t>{5, 10, 20}};
  CHECK(heads.is_list);
  CHECK(heads.at(2) == 20);
  CHECK(heads.fits(3));
  CHECK_FALSE(heads.fits(4));
  CHECK_THROWS_AS(heads.at(3), std::out_of_range);

  const ldm::BoolOrList cross{std::vector<bool>{true, false}};
  CHECK(cross.at(0));
  CHECK_FALSE(cross.at(1));
}

TEST_CASE("a default field holds nothing") {
  CHECK_FALSE(ldm::IntOrList().fits(1));
  CHECK_THROWS_AS(ldm::IntOrList().at(0), std::out_of_range);
}
