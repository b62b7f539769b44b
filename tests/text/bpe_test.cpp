#include "ldm/text/bpe.h"

#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/text/unicode.h"
#include "tests/support/catch.h"

namespace {

using Catch::Matchers::Contains;

using ldm::BytePairEncoder;
using ldm::MergeRule;

// All bytes, then the given pieces.
ldm::Vocabulary vocabulary(const std::vector<std::string>& pieces) {
  ldm::Vocabulary out;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    std::string piece;
    ldm::append_utf8(piece, printable ? byte : next++);
    out.emplace(piece, out.size());
    out.emplace(piece + "</w>", out.size());
  }
  for (const std::string& piece : pieces) out.emplace(piece, out.size());
  return out;
}

BytePairEncoder low_lower() {
  const std::vector<MergeRule> merges = {
      {"l", "o", 1}, {"e", "r</w>", 2}, {"lo", "w", 3}, {"lo", "w</w>", 4}, {"low", "er</w>", 5}};
  return BytePairEncoder(vocabulary({"lo", "er</w>", "low", "low</w>", "lower</w>"}), merges, "m",
                         "?");
}

std::vector<std::string> pieces(const BytePairEncoder& bpe, const std::string& word) {
  std::vector<BytePairEncoder::Token> tokens;
  bpe.encode(word, tokens);
  std::vector<std::string> out;
  std::size_t end = 0;
  for (const auto& token : tokens) {
    CHECK(token.begin == end);
    end = token.end;
    out.emplace_back(bpe.piece(token.id));
  }
  CHECK(end == word.size());
  return out;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("pairs merge in the order of the rules") {
  const BytePairEncoder bpe = low_lower();
  CHECK(pieces(bpe, "low") == Pieces{"low</w>"});
  CHECK(pieces(bpe, "lower") == Pieces{"lower</w>"});
  CHECK(pieces(bpe, "lowlow") == Pieces{"low", "low</w>"});
  CHECK(pieces(bpe, "ol") == Pieces{"o", "l</w>"});
  CHECK(pieces(bpe, "\n") == Pieces{"\u010a</w>"});
}

TEST_CASE("of equal pairs the leftmost merges first") {
  const std::vector<MergeRule> merges = {{"a", "a", 1}};
  const BytePairEncoder bpe(vocabulary({"aa"}), merges, "m", "?");
  CHECK(pieces(bpe, "aaaa") == Pieces{"aa", "a", "a</w>"});
  CHECK(pieces(bpe, "aaaaa") == Pieces{"aa", "aa", "a</w>"});
}

TEST_CASE("a word of 64 KiB merges in far less than quadratic time") {
  const BytePairEncoder bpe = low_lower();
  std::string word;
  while (word.size() < 65536) word += "lower";
  const Pieces found = pieces(bpe, word);
  CHECK(found.back() == "lower</w>");
  CHECK(found.size() == (word.size() / 5 - 1) * 3 + 1);
}

TEST_CASE("bytes without a piece become the unknown token, one each") {
  ldm::Vocabulary few = {{"a", 0}, {"a</w>", 1}, {"<unk>", 2}};
  const BytePairEncoder bpe(few, {}, "m", "<unk>");
  CHECK(pieces(bpe, "abba") == Pieces{"a", "<unk>", "<unk>", "a</w>"});
  CHECK_THROWS_AS(BytePairEncoder(few, {}, "m", "<none>"), ldm::Error);
}

TEST_CASE("merges.txt is read line by line") {
  const auto rules = ldm::parse_merges("#version: 0.2\r\na b\r\nab c</w>\n", "merges.txt");
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].left == "a");
  CHECK(rules[1].right == "c</w>");
  CHECK(rules[1].place == 3);
  CHECK(ldm::parse_merges("", "merges.txt").empty());
  for (const char* bad : {"a b\nx\n", "a b\n x\n", "a b\nx \n", "a b\nx y z\n", "a b\n\nc d\n"}) {
    CHECK_THROWS_WITH(ldm::parse_merges(bad, "merges.txt"), Contains("merges.txt:2: "));
  }
}

TEST_CASE("rules and ids that do not fit the vocabulary are refused") {
  const std::vector<MergeRule> unknown_result = {{"a", "b", 7}};
  CHECK_THROWS_WITH(BytePairEncoder(vocabulary({}), unknown_result, "merges.txt", "?"),
                    Contains("merges.txt:7: \"ab\" is not in the vocabulary"));
  ldm::Vocabulary shared = vocabulary({});
  shared["x"] = shared["y"];
  CHECK_THROWS_WITH(BytePairEncoder(shared, {}, "m", "?"), Contains("the same id"));
  ldm::Vocabulary huge = vocabulary({});
  huge["x"] = std::int64_t{1} << 40;
  CHECK_THROWS_WITH(BytePairEncoder(huge, {}, "m", "?"), Contains("out of range"));
}
