#include "ldm/train/learning_rate.h"

#include "ldm/core/error.h"
#include "tests/support/catch.h"

using namespace ldm::train;

TEST_CASE("learning rates warm up and fall as their schedule says") {
  const ScheduleConfig cosine{.kind = "cosine", .warmup_steps = 4, .final_factor = 0.1};
  CHECK(learning_rate_factor(cosine, 0, 104) == 0.25);
  CHECK(learning_rate_factor(cosine, 3, 104) == 1.0);
  CHECK(learning_rate_factor(cosine, 4, 104) == 1.0);
  CHECK(learning_rate_factor(cosine, 54, 104) == Approx(0.55));
  CHECK(learning_rate_factor(cosine, 104, 104) == Approx(0.1));
  CHECK(learning_rate_factor(cosine, 900, 104) == Approx(0.1));
  const ScheduleConfig linear{.kind = "linear", .warmup_steps = 0, .final_factor = 0.0};
  CHECK(learning_rate_factor(linear, 25, 100) == Approx(0.75));
  const ScheduleConfig constant{.kind = "constant", .warmup_steps = 2};
  CHECK(learning_rate_factor(constant, 0, 10) == 0.5);
  CHECK(learning_rate_factor(constant, 9, 10) == 1.0);
}

TEST_CASE("a schedule's fields have ranges") {
  CHECK_THROWS_AS((ScheduleConfig{.kind = "cosin"}).validate("x"), ldm::Error);
  CHECK_THROWS_AS((ScheduleConfig{.warmup_steps = -1}).validate("x"), ldm::Error);
  CHECK_THROWS_AS((ScheduleConfig{.final_factor = 1.5}).validate("x"), ldm::Error);
  CHECK_NOTHROW(ScheduleConfig{}.validate("x"));
}
