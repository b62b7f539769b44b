// Every event of ldm-gen --json against configs/schemas/events.schema.json.

#include <algorithm>
#include <set>

#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

using nlohmann::json;

json read_schema() {
  return json::parse(slurp(LDM_SOURCE_DIR "/configs/schemas/events.schema.json"));
}

bool has_type(const json& value, const json& type) {
  if (type.is_array()) {
    return std::any_of(type.begin(), type.end(),
                       [&value](const json& one) { return has_type(value, one); });
  }
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "array") return value.is_array();
  return type == "object" && value.is_object();
}

/// The part of JSON Schema that the file uses; fields that it does not describe are problems too.
class Checker {
 public:
  explicit Checker(json schema) : schema_(std::move(schema)) {}

  std::vector<std::string> check(const json& event) {
    problems_.clear();
    const std::string name = event.at("event");
    json whole = schema_.at("$defs").at(name);
    whole["properties"].update(schema_.at("properties"));
    for (const json& key : schema_.at("required")) whole["required"].push_back(key);
    check_value(event, whole, name);
    return problems_;
  }

 private:
  void check_value(const json& value, const json& rule, const std::string& where) {
    if (rule.contains("$ref")) {
      const std::string path = rule.at("$ref");
      return check_value(value, schema_.at(json::json_pointer(path.substr(1))), where);
    }
    if (rule.contains("type") && !has_type(value, rule.at("type"))) {
      problems_.push_back(where + ": not of type " + rule.at("type").dump());
    }
    if (rule.contains("const") && value != rule.at("const")) problems_.push_back(where + ": value");
    if (rule.contains("enum")) {
      const json& words = rule.at("enum");
      if (std::find(words.begin(), words.end(), value) == words.end()) {
        problems_.push_back(where + ": not one of the words");
      }
    }
    if (value.is_array() && rule.contains("items")) {
      for (const json& item : value) check_value(item, rule.at("items"), where + "[]");
    }
    if (value.is_object() && rule.contains("properties")) check_object(value, rule, where);
  }

  void check_object(const json& value, const json& rule, const std::string& where) {
    for (const json& key : rule.value("required", json::array())) {
      if (!value.contains(key.get<std::string>())) {
        problems_.push_back(where + ": lacks " + key.get<std::string>());
      }
    }
    for (const auto& [key, field] : value.items()) {
      if (rule.at("properties").contains(key)) {
        check_value(field, rule.at("properties").at(key), where + "/" + key);
      } else {
        problems_.push_back(where + ": undescribed " + key);
      }
    }
  }

  json schema_;
  std::vector<std::string> problems_;
};

TEST_CASE("every event is as its schema says") {
  const TempDir dir;
  std::string long_prompt;
  for (int i = 0; i < 90; ++i) long_prompt += "apple ";
  dir.write("j.jsonl", json{{"prompt", "a cat"}}.dump() + "\n{\"promt\": \"b\"}\n" +
                           json{{"prompt", long_prompt}}.dump() + "\n");
  const std::vector<std::string> quick = {"--steps", "2", "-W", "64", "-H", "64", "--seed", "5"};
  std::vector<std::vector<std::string>> runs = {
      {"-p", "a cat", "-N", "2", "-o", "a.png", "--grid", "grid.png", "--json"},
      {"--jobs", "j.jsonl", "--output-dir", "out", "--keep-going", "--json"},
      {"-p", "a cat", "-o", "fast.png", "--fast", "--json"},
  };
  for (auto& run : runs) run.insert(run.end(), quick.begin(), quick.end());
  runs.push_back({"status", "out", "--json"});
  runs.push_back({"replay", "a-0001.png", "--json"});
  const json schema = read_schema();
  Checker checker(schema);
  std::set<std::string> seen;
  for (const auto& run : runs) {
    const ProgramResult result = ldm_gen_in(dir, run);
    INFO(result.err);
    for (const json& event : events(result.out)) {
      INFO(event.dump());
      CHECK(checker.check(event) == std::vector<std::string>{});
      seen.insert(event.at("event"));
    }
  }
  const json& words = schema.at("properties").at("event").at("enum");
  CHECK(seen == words.get<std::set<std::string>>());
  CHECK(schema.at("oneOf").size() == words.size());
}

TEST_CASE("events foretell the end of a run and know its parts") {
  const TempDir dir;
  dir.write("j.jsonl",
            "{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"steps\": 4}\n{\"prompt\": \"c\"}\n");
  const ProgramResult result =
      ldm_gen_in(dir, {"--jobs", "j.jsonl", "--output-dir", "out", "--steps", "2", "--seed", "1",
                       "--json", "--threads", "1", "-W", "64", "-H", "64"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  double load_s = 0;
  std::vector<double> steps;
  double last_eta = -1;
  for (const json& event : events(result.out)) {
    if (event["event"] == "load") load_s += event["seconds"].get<double>();
    if (event["event"] == "step") {
      steps.push_back(event["seconds"]);
      CHECK(event["eta_s"].get<double>() > 0);
      CHECK(event["rss_bytes"].get<double>() > 1e7);
    }
    if (event["event"] == "image") last_eta = event["eta_s"];
  }
  CHECK(steps.size() == 8);
  CHECK(last_eta == Approx(0).margin(1e-6));
  const json done = events(result.out).back();
  const json& timings = done["timings"];
  CHECK(timings["load_s"].get<double>() == Approx(load_s));
  std::sort(steps.begin() + 1, steps.end());
  CHECK(timings["unet_step_s"].get<double>() == Approx(steps[1 + (steps.size() - 1) / 2]));
  CHECK(timings["text_encoder_s"].get<double>() > 0);
  CHECK(timings["decode_s"].get<double>() > 0);
  const double parts = load_s + timings["text_encoder_s"].get<double>();
  CHECK(timings["total_s"].get<double>() > parts);
  CHECK(timings["start_to_first_step_s"].get<double>() < timings["total_s"].get<double>());

  const json status = events(ldm_gen_in(dir, {"status", "out", "--json"}).out).at(0);
  CHECK(status["seconds_per_image"].get<double>() > 0);
  CHECK(status["eta_s"] == 0.0);
}

}  // namespace
}  // namespace ldm::test
