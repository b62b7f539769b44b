#include <nlohmann/json.hpp>

#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

using Args = std::vector<std::string>;

Args weighted(const std::string& prompt, Args more) {
  Args args = {"-p", prompt, "--prompt-syntax", "weighted", "--steps", "4", "--threads", "1",
               "-s", "3"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

}  // namespace

TEST_CASE("a wrong prompt ends with 3 and a caret under the character") {
  const ProgramResult result = ldm_gen(weighted("a (red apple:1.2.3) here", {"--dry-run"}));
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, Contains("prompt: character 14: \"1.2.3\" is not a weight\n"
                                  "  a (red apple:1.2.3) here\n"
                                  "               ^\n"
                                  "hint: "));
  const ProgramResult negative = ldm_gen(weighted("a", {"-n", "ugly)", "--dry-run", "--json"}));
  CHECK(negative.exit_code == 3);
  const auto error = events(negative.out).at(0);
  CHECK(error["message"] == "negative prompt: character 5: \")\" closes nothing");
  CHECK(error["excerpt"] == "ugly)\n    ^");
  CHECK(ldm_gen({"-p", "a (red", "--dry-run"}).exit_code == 0);
  CHECK(ldm_gen({"-p", "a", "--prompt-weighting", "plain", "--dry-run"}).exit_code == 2);
}

TEST_CASE("tokens explains weights, chunks, wordings and what is cut") {
  const auto tokens = [](const std::string& prompt, Args more) {
    more.insert(more.begin(), {"tokens", "-p", prompt, "--prompt-syntax", "weighted"});
    return ldm_gen(more);
  };
  const ProgramResult text =
      tokens("a (red:1.3) BREAK [apple|pear] <lora:ink:0.5>", {"--steps", "3"});
  INFO(text.err);
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.out, Contains("red</w>  × 1.3") && Contains("chunk 2 of 2") &&
                           Contains("steps 2…2 of 3") && Contains("LoRA ink, weight 0.5"));
  CHECK_THAT(tokens("a AND b :0.5", {}).out, Contains("AND prompt 2 of 2, weight 0.5"));
  const auto json = nlohmann::json::parse(tokens("a (red:1.3) BREAK [apple:b:2]", {"--json"}).out);
  CHECK(json["ids"].size() == 77);
  CHECK(json["weights"][2].get<float>() == 1.3F);
  REQUIRE(json["prompts"][0]["wordings"].size() == 2);
  CHECK(json["prompts"][0]["wordings"][1]["first_step"] == 3);
  CHECK(json["prompts"][0]["wordings"][0]["chunks"].size() == 2);
  std::string apples;
  for (int i = 0; i < 80; ++i) apples += "apple ";
  const auto chunked = nlohmann::json::parse(
      ldm_gen({"tokens", "-p", apples, "--long-prompt", "chunk", "--json"}).out);
  CHECK(chunked["ids"].size() == 77);
  CHECK(chunked["prompts"][0]["wordings"][0]["chunks"].size() == 2);
  CHECK(chunked["cut_text"] == "");
}

TEST_CASE("a weighted, edited and joined prompt is recorded and made again") {
  const TempDir dir;
  const std::string prompt = "(a red apple:1.3) [on blue:on green:0.5] AND a star :0.4";
  REQUIRE(ldm_gen_in(dir, weighted(prompt, {"-n", "[blurry]", "--prompt-weighting", "comfyui",
                                            "--long-prompt", "chunk", "-o", "a.png"}))
              .exit_code == 0);
  const auto settings = settings_of(dir / "a.png");
  CHECK(settings["request"]["prompt_syntax"] == "weighted");
  CHECK(settings["request"]["prompt_weighting"] == "comfyui");
  CHECK(settings["request"]["long_prompt"] == "chunk");
  const ProgramResult again = ldm_gen_in(dir, {"replay", "a.png"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  REQUIRE(ldm_gen_in(dir, weighted("(a:1.2)", {"--prompt-weighting", "plain", "--metadata", "a1111",
                                               "-o", "b.png"}))
              .exit_code == 0);
  const std::string parameters = text_of(dir / "b.png").at(0).value;
  CHECK_THAT(parameters, Contains("(a:1.2)\nSteps: 4") && Contains("Emphasis: No norm"));
  const ProgramResult other = ldm_gen_in(dir, {"replay", "b.png"});
  INFO(other.err);
  CHECK(other.exit_code == 0);
}

TEST_CASE("jobs of prompts of any length and shape share a run, each as if alone") {
  const TempDir dir;
  const Args prompts = {"a red apple", "(a:1.2) BREAK (star:0.8)", "a AND star :0.5",
                        "[a|star] apple", "a blue star"};
  std::string lines;
  for (const std::string& prompt : prompts) {
    lines += nlohmann::json{{"prompt", prompt}, {"prompt_syntax", "weighted"}}.dump() + "\n";
  }
  dir.write("jobs.jsonl", lines);
  const Args common = {"--steps", "3", "--threads", "1", "--metadata", "none"};
  Args batch = {"--jobs", "jobs.jsonl", "--output-dir", "out", "-s", "5", "--batch-size", "3"};
  batch.insert(batch.end(), common.begin(), common.end());
  const ProgramResult all = ldm_gen_in(dir, batch);
  INFO(all.err);
  REQUIRE(all.exit_code == 0);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Args one = {"-p", prompts[i], "--prompt-syntax", "weighted", "-s", std::to_string(5 + i),
                "-o", "one.png",  "--overwrite"};
    one.insert(one.end(), common.begin(), common.end());
    REQUIRE(ldm_gen_in(dir, one).exit_code == 0);
    INFO(prompts[i]);
    const std::string name = "out/00000" + std::to_string(i) + "-" + std::to_string(5 + i) + ".png";
    CHECK(largest_difference(load_image(dir / name), load_image(dir / "one.png")) <= 1);
  }
  dir.write("wrong.jsonl", R"({"prompt": "a (b", "prompt_syntax": "weighted"})"
                           "\n");
  const ProgramResult wrong =
      ldm_gen_in(dir, {"--jobs", "wrong.jsonl", "--output-dir", "out2", "-s", "1"});
  CHECK(wrong.exit_code == 3);
  CHECK_THAT(wrong.err, Contains("wrong.jsonl:1: prompt: character 3: \"(\" is never closed"));
}

}  // namespace ldm::test
