#include "ldm/io/fields.h"

#include "ldm/io/json.h"
#include "tests/io/errors.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

struct Config {
  bool flag = true;
  std::int64_t count = 3;
  double scale = 0.5;
  std::string name = "x";
  std::optional<std::int64_t> classes;
  std::optional<double> factor = 2.0;
  std::vector<std::int64_t> channels{320, 640};
  std::vector<std::string> blocks;
  std::optional<std::vector<double>> betas;

  template <class V>
  void visit(V&& v) {
    v("flag", flag);
    v("count", count);
    v("scale", scale);
    v("name", name);
    v("classes", classes);
    v("factor", factor);
    v("channels", channels);
    v("blocks", blocks);
    v("betas", betas);
  }
};

std::string message_for(const std::string& text) {
  Config config;
  const auto error = test::error_of([&] { read_fields(parse_json(text, {}, "t"), config, "c"); });
  return error ? error->message() : "none";
}

TEST_CASE("fields are read, absent ones keep their defaults, unknown keys come back") {
  Config config;
  const auto unknown = read_fields(
      parse_json(R"({"_class_name":"X","flag":false,"count":-4,"scale":2,"name":"y","classes":7,
                     "factor":null,"channels":[1,2,3],"blocks":["a"],"betas":[1,0.5],"zeta":1})",
                 {}, "t"),
      config, "c");
  CHECK(unknown == std::vector<std::string>{"zeta"});
  CHECK_FALSE(config.flag);
  CHECK(config.count == -4);
  CHECK(config.scale == 2.0);
  CHECK(config.name == "y");
  CHECK(config.classes == 7);
  CHECK_FALSE(config.factor);
  CHECK(config.channels == std::vector<std::int64_t>{1, 2, 3});
  CHECK(config.blocks == std::vector<std::string>{"a"});
  CHECK(*config.betas == std::vector<double>{1, 0.5});

  Config plain;
  CHECK(read_fields(parse_json(R"({"count":null,"channels":8})", {}, "t"), plain, "c").empty());
  CHECK(plain.count == 3);
  CHECK(plain.channels == std::vector<std::int64_t>{8});
  CHECK(plain.factor == 2.0);
}

TEST_CASE("a wrong type names the place, what was expected and what was found") {
  CHECK(message_for(R"({"count":"3"})") == "c: /count: expected integer, found string");
  CHECK(message_for(R"({"count":3.0})") == "c: /count: expected integer, found number 3.0");
  CHECK(message_for(R"({"count":18446744073709551615})") ==
        "c: /count: 18446744073709551615 does not fit 64 bits");
  CHECK(message_for(R"({"flag":1})") == "c: /flag: expected boolean, found integer");
  CHECK(message_for(R"({"scale":"a"})") == "c: /scale: expected number, found string");
  CHECK(message_for(R"({"name":{}})") == "c: /name: expected string, found object");
  CHECK(message_for(R"({"channels":[1,true]})") ==
        "c: /channels/1: expected integer, found boolean");
  CHECK(message_for(R"({"classes":[]})") == "c: /classes: expected integer, found array");
  CHECK(message_for("[]") == "c: expected object, found array");
  Config config;
  const nlohmann::json endless = {{"scale", std::numeric_limits<double>::infinity()}};
  CHECK(test::error_of([&] { read_fields(endless, config, "c"); }));
}

TEST_CASE("written fields read back to the same struct") {
  Config config;
  config.channels = {4};
  config.betas = std::vector<double>{0.25};
  const nlohmann::json written = write_fields(config);
  CHECK(written["classes"].is_null());
  CHECK(written["factor"] == 2.0);
  Config again;
  CHECK(read_fields(written, again, "c").empty());
  CHECK(write_fields(again) == written);
}

}  // namespace
}  // namespace ldm
