#include "ldm/train/prompt_scores.h"

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using ldm::Error;
using ldm::test::TempDir;
using namespace ldm::train;

namespace {

AttributeGuess guess(const char* object, const char* background, std::int64_t count = 1) {
  return {{object, background, count}, 0.9, background};
}

}  // namespace

TEST_CASE("prompts are read with what they ask for") {
  const TempDir dir;
  const auto cases = read_prompts(dir.write(
      "p.jsonl",
      "{\"prompt\": \"a cat\", \"object\": \"cat\", \"background\": \"red\", \"id\": \"x\"}\n\n"
      "{\"prompt\": \"two dogs\", \"object\": \"dog\", \"background\": \"blue\", \"count\": 2}\n"));
  REQUIRE(cases.size() == 2);
  CHECK(cases[0].id == "x");
  CHECK(cases[0].expected.count == 1);
  CHECK(cases[1].id == "0001");
  CHECK(cases[1].prompt == "two dogs");
  CHECK(cases[1].expected.count == 2);
  CHECK(spread(cases, 0).size() == 2);
  CHECK(spread(cases, 5).size() == 2);
  CHECK(spread(cases, 1).at(0).id == "x");
  for (const char* bad : {"", "{", "[]", "{\"prompt\": \"a\"}", "{\"object\": \"a\"}",
                          "{\"prompt\": 1, \"object\": \"a\", \"background\": \"b\"}"}) {
    CHECK_THROWS_WITH(read_prompts(dir.write("bad.jsonl", bad)), Contains("bad.jsonl"));
  }
  CHECK_THROWS_WITH(read_prompts(dir / "none"), Contains("no such file"));
}

TEST_CASE("prompts are spread evenly over their list") {
  std::vector<PromptCase> cases;
  for (int i = 0; i < 10; ++i) cases.push_back({std::to_string(i), "", {}});
  std::string ids;
  for (const PromptCase& item : spread(cases, 4)) ids += item.id;
  CHECK(ids == "0257");
}

TEST_CASE("scores count what was asked for and seen") {
  const AttributeNames names{{"cat", "dog"}, {"blue", "red"}, 2};
  PromptScores scores;
  scores.add({"1", "", {"cat", "red", 1}}, guess("cat", "red"), names);
  scores.add({"2", "", {"cat", "red", 1}}, guess("dog", "red"), names);
  scores.add({"3", "", {"dog", "blue", 2}}, guess("cat", "red", 2), names);
  scores.add({"4", "", {"cat", "blue", 2}}, guess("cat", "blue", 1), names);
  const AttributeAccuracy accuracy = scores.accuracy();
  CHECK(accuracy.pictures == 4);
  CHECK(accuracy.object == 0.5);
  CHECK(accuracy.background == 0.75);
  CHECK(accuracy.border == 0.75);
  CHECK(accuracy.count == 0.75);
  CHECK(scores.all() == 0.25);
  REQUIRE(scores.worst().size() == 2);
  CHECK(scores.worst()[0].object == "dog");
  CHECK(scores.worst()[1].right == 2);
  CHECK(scores.misses().size() == 3);
  CHECK_THROWS_AS(scores.add({"5", "", {"cow", "blue", 1}}, guess("cat", "blue"), names), Error);
}
