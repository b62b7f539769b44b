#include "ldm/text/prompt_syntax.h"

#include <functional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

/// "[text|weight]…" of a prompt's first part at a step.
std::string pieces(const std::string& prompt, int step = 1, int steps = 10) {
  const auto parsed = WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  std::string out;
  for (const PromptPiece& piece : pieces_at(parsed.parts().front().nodes, step, steps)) {
    out += piece.is_break ? "<BREAK>" : cat("<", piece.text, "|", piece.weight, ">");
    CHECK(piece.source.size() == piece.text.size());
  }
  return out;
}

/// The words alone.
std::string words(const std::string& prompt, int step, int steps = 10) {
  const auto parsed = WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  std::string out;
  for (const PromptPiece& piece : pieces_at(parsed.parts().front().nodes, step, steps)) {
    out += piece.text;
  }
  return out;
}

Error fault(const std::string& prompt, PromptRole role = PromptRole::kPrompt) {
  try {
    WeightedPrompt::parse(prompt, role);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error: " << prompt);
  return Error::internal("");
}

}  // namespace

TEST_CASE("brackets weigh, numbers weigh exactly, backslashes escape") {
  CHECK(pieces("a cat") == "<a cat|1>");
  CHECK(pieces("(a)") == "<a|1.1>");
  CHECK(pieces("((a))") == "<a|1.21>");
  CHECK(pieces("(a:1.3)") == "<a|1.3>");
  CHECK(pieces("(a : +.5 )b") == "<a |0.5><b|1>");
  CHECK(pieces("(a:-0.5)") == "<a|-0.5>");
  CHECK(pieces("[a]") == "<a|0.909091>");
  CHECK(pieces("(a (b:2):3)") == "<a |3><b|6>");
  CHECK(pieces(R"(\(a\) \[b\] \\ \: \| \<)") == R"(<(a) [b] \ : | <|1>)");
  CHECK(pieces(R"(a\b)") == "<ab|1>");
  CHECK(pieces("12:30 | 3") == "<12:30 | 3|1>");
  CHECK(pieces("(a: cat)") == "<a: cat|1.1>");
  CHECK(pieces("(16:9:1.2)") == "<16:9|1.2>");
  CHECK(pieces("") == "");
  CHECK(pieces("()") == "");
  CHECK(pieces("a <3 <b>") == "<a <3 <b>|1>");
}

TEST_CASE("BREAK is a word of its own, in capitals, with the blanks around it") {
  CHECK(pieces("a BREAK b") == "<a|1><BREAK><b|1>");
  CHECK(pieces("(a BREAK b:1.2)") == "<a|1.2><BREAK><b|1.2>");
  CHECK(pieces("BREAK") == "<BREAK>");
  CHECK(pieces("aBREAK BREAKb break") == "<aBREAK BREAKb break|1>");
  CHECK(pieces("éBREAK") == "<éBREAK|1>");
  CHECK(pieces("a,BREAK,b") == "<a,|1><BREAK><,b|1>");
}

// The examples that AUTOMATIC1111's prompt_parser.py documents.
TEST_CASE("edits and alternations read as in the published examples") {
  CHECK(words("a [b:3]", 3) == "a ");
  CHECK(words("a [b:3]", 4) == "a b");
  CHECK(words("a [b: 3]", 4) == "a b");
  CHECK(words("[(a:2):3]", 3) == "");
  CHECK(pieces("[(a:2):3]", 4) == "<a|2>");
  CHECK(words("a [b : c : 1] d", 1) == "a b  d");
  CHECK(words("a [b : c : 1] d", 2) == "a  c  d");
  CHECK(words("a[b:[c:d:2]:1]e", 1) == "abe");
  CHECK(words("a[b:[c:d:2]:1]e", 2) == "ace");
  CHECK(words("a[b:[c:d:2]:1]e", 3) == "ade");
  CHECK(words("a [b:.5] c", 5) == "a  c");
  CHECK(words("a [b:.5] c", 6) == "a b c");
  CHECK(words("a [b::0.5] c", 6) == "a  c");
  CHECK(words("[a|b]", 1) == "a");
  CHECK(words("[a|b]", 2) == "b");
  CHECK(words("[a|b]", 3) == "a");
  CHECK(words("[fe|]male", 2) == "male");
  CHECK(words("[fe|||]male", 5) == "female");
  CHECK(words("a [b:0]", 1) == "a b");
  CHECK(words("a [b:99]", 10) == "a ");
  CHECK(words("a [b:1.0]", 10) == "a ");
}

TEST_CASE("AND joins prompts with weights") {
  const auto parsed =
      WeightedPrompt::parse("a cat AND (a dog:1.2) :0.7 AND sand:-1", PromptRole::kPrompt);
  REQUIRE(parsed.parts().size() == 3);
  CHECK(parsed.parts()[0].weight == 1.0);
  CHECK(parsed.parts()[1].weight == 0.7);
  CHECK(parsed.parts()[2].weight == -1.0);
  CHECK(pieces_at(parsed.parts()[2].nodes, 1, 1).at(0).text == " sand");
  CHECK(WeightedPrompt::parse("a cat :1.2", PromptRole::kPrompt).parts()[0].weight == 1.0);
  CHECK(WeightedPrompt::parse("STAND ANDY and", PromptRole::kPrompt).parts().size() == 1);
}

TEST_CASE("LoRA tags are taken out of the text") {
  const auto parsed =
      WeightedPrompt::parse("a <lora:my style:0.7> cat (<lora:b>:1.2)", PromptRole::kPrompt);
  REQUIRE(parsed.loras().size() == 2);
  CHECK(parsed.loras()[0] == LoraTag{"my style", 0.7, 2});
  CHECK(parsed.loras()[1].weight == 1.0);
  CHECK(words("a <lora:x:1>cat", 1) == "a cat");
}

TEST_CASE("a wrong prompt is an input error that points at the character") {
  struct Case {
    std::string prompt, message, place;
  };
  const std::vector<Case> cases = {
      {"a cat) on", "character 6: \")\" closes nothing", "a cat) on\n     ^"},
      {"a (cat", "character 3: \"(\" is never closed", "a (cat\n  ^"},
      {"é[cat", "character 2: \"[\" is never closed", "é[cat\n ^"},
      {"猫 (a]", "character 5: \"]\" stands before the \"(\" of character 3", "猫 (a]\n     ^"},
      {"(a:)", "character 3: a weight is missing", "(a:)\n  ^"},
      {"(a:1.2.3)", "\"1.2.3\" is not a weight", "(a:1.2.3)\n   ^"},
      {"(a:1e3)", "\"1e3\" is not a weight", "(a:1e3)\n   ^"},
      {"(a:9999)", "not within -1000…1000", "(a:9999)\n   ^"},
      {"[a:b]", "\"b\" does not say where the words change", "[a:b]\n   ^"},
      {"[a:b:]", "where the words change is missing", "[a:b:]\n     ^"},
      {"[a:b:1.5]", "1.5 is neither a part of the steps", "[a:b:1.5]\n     ^"},
      {"[a:b:-1]", "-1 is neither", "[a:b:-1]\n     ^"},
      {"[a:b:c:1]", "one colon too many", "[a:b:c:1]\n      ^"},
      {"[a|b:2]", "\":\" and \"|\" stand in one pair", "[a|b:2]\n    ^"},
      {"(a AND b)", "AND stands inside brackets", "(a AND b)\n   ^"},
      {"a AND ", "AND joins nothing", "a AND \n     ^"},
      {" AND a", "AND joins nothing", " AND a\n^"},
      {"a \\", "nothing follows the \\", "a \\\n  ^"},
      {"<lora:a", "never closed", "<lora:a\n^"},
      {"<lora::1>", "name is missing", "<lora::1>\n      ^"},
      {"<lora:a:x>", "\"x\" is not one number", "<lora:a:x>\n        ^"},
      {"<hypernet:a:1>", "hypernetworks are not read", "<hypernet:a:1>\n^"},
  };
  for (const Case& one : cases) {
    INFO(one.prompt);
    const Error error = fault(one.prompt);
    CHECK(error.exit_code() == 3);
    CHECK_THAT(error.message(), Contains(one.message) && Contains("prompt: character "));
    CHECK(error.excerpt() == one.place);
    CHECK_FALSE(error.hint().empty());
  }
  CHECK_THAT(fault("a AND b", PromptRole::kNegative).message(),
             Contains("negative prompt: character 3: a negative prompt knows no AND"));
  CHECK_THAT(fault("<lora:a:1>", PromptRole::kNegative).message(), Contains("names no LoRA"));
  CHECK_THAT(fault(std::string(65, '(')).message(), Contains("nested too deep"));
  const Error far = fault(std::string(200, 'a') + ")" + std::string(200, 'b'));
  CHECK(far.excerpt() == "…" + std::string(40, 'a') + ")" + std::string(39, 'b') + "\n" +
                             std::string(41, ' ') + "^");
}

}  // namespace ldm
