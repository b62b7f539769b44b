#include "ldm/io/json.h"

#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::Contains;

using Kind = JsonFault::Kind;

std::optional<JsonFault> fault_of(std::string_view text, const JsonLimits& limits = {}) {
  nlohmann::json value;
  return try_parse_json(text, limits, value);
}

TEST_CASE("good JSON gives the same value as nlohmann's own parser") {
  for (const char* text :
       {"{}", " [1, -2, 3.5e2, true, false, null, \"a\\u00e9\\ud83d\\ude00\"]\n",
        R"({"a":{"b":[[],{},[{"c":1}]]},"d":18446744073709551615,"e":-9223372036854775808})", "7",
        "\"\""}) {
    CHECK(parse_json(text, {}, "x") == nlohmann::json::parse(text));
  }
}

TEST_CASE("the grammar is strict, with the byte of the fault") {
  struct Case {
    std::string_view text;
    std::size_t offset;
  };
  using namespace std::string_view_literals;
  for (const Case& c :
       {Case{"", 0}, Case{"{\"a\":1,}", 7}, Case{"[1,2", 3}, Case{"{} x", 3}, Case{"{}\0"sv, 2},
        Case{"// c\n{}", 0}, Case{"[NaN]", 1}, Case{"[Infinity]", 1}, Case{"[\"\\ud800\"]", 8},
        Case{"[01]", 3}, Case{"{'a':1}", 1}, Case{"[\"a\nb\"]", 3}}) {
    const auto fault = fault_of(c.text);
    INFO(c.text);
    REQUIRE(fault);
    CHECK(fault->kind == Kind::kSyntax);
    CHECK(fault->offset == c.offset);
  }
}

TEST_CASE("encoding, duplicates, depth, size and numbers are checked") {
  CHECK(fault_of("\xEF\xBB\xBF{}")->kind == Kind::kUtf8);
  CHECK(fault_of("{\"\xC3\":1}")->kind == Kind::kUtf8);
  CHECK(fault_of("{\"\xC3\":1}")->offset == 2);
  CHECK(fault_of("{\"a\":1,\"b\":{\"a\":2},\"a\":3}")->kind == Kind::kDuplicate);
  CHECK(fault_of("{\"a\":1,\"\\u0061\":3}")->kind == Kind::kDuplicate);
  CHECK(fault_of("[1e999]")->kind == Kind::kNumber);
  CHECK(fault_of("[18446744073709551616]")->kind == Kind::kNumber);
  CHECK(fault_of("[-9223372036854775809]")->kind == Kind::kNumber);
  CHECK(fault_of("[[[1]]]", JsonLimits{100, 2})->kind == Kind::kDepth);
  CHECK_FALSE(fault_of("[[1]]", JsonLimits{100, 2}));
  CHECK(fault_of("[1,2,3]", JsonLimits{6, 2})->kind == Kind::kSize);
  CHECK(fault_of(std::string(1'000'000, '['))->kind == Kind::kDepth);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(fault_of(objects)->kind == Kind::kDepth);
}

TEST_CASE("a bad JSON file is a model error that names the file and the byte") {
  const test::TempDir folder;
  const auto path = folder.write("config.json", "{\"a\": 1, \"a\": 2}");
  const auto error = test::error_of([&] { read_json_file(path); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::kModel);
  CHECK_THAT(error->message(), Contains("config.json: invalid JSON at byte 11: duplicate key"));
  const auto large = test::error_of([&] { read_json_file(path, JsonLimits{5, 64}); });
  REQUIRE(large);
  CHECK_THAT(large->message(), Contains("more than the 5 allowed"));
  CHECK(read_json_file(folder.write("b.json", "[1]")).size() == 1);
}

}  // namespace
}  // namespace ldm
