#include "ldm/core/error.h"

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("an error carries class, text, hint and context") {
  Error error = Error::model_rule("E_ST_DUP", "duplicate tensor", "get the file again");
  error.with_context("reading unet").with_context("opening model");
  CHECK(error.exit_code() == 4);
  CHECK(error.rule() == "E_ST_DUP");
  CHECK(error.hint() == "get the file again");
  CHECK(error.message() == "opening model: reading unet: E_ST_DUP: duplicate tensor");
  CHECK(std::string(error.what()) == error.message());
}

TEST_CASE("each named constructor has its documented exit code") {
  CHECK(Error::internal("x").exit_code() == 1);
  CHECK(Error::usage("x").exit_code() == 2);
  CHECK(Error::input("x").exit_code() == 3);
  CHECK(Error::model("x").exit_code() == 4);
  CHECK(Error::output("x").exit_code() == 5);
  CHECK(Error::memory("x").exit_code() == 6);
  CHECK(Error::non_finite("x").exit_code() == 7);
  CHECK(Error::stopped(ErrorCode::kTerminated, "x").exit_code() == 143);
}

TEST_CASE("an error's text cannot drive a terminal") {
  const Error error = Error::model("tensor \"a\x1b[2J\nb\"");
  CHECK(error.message() == "tensor \"a\\x1b[2J\\x0ab\"");
}

}  // namespace ldm
