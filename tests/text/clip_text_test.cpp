#include "ldm/text/clip_text.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace {

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (const ldm::TextRange& word : ldm::split_clip(text)) {
    out.push_back(text.substr(word.begin, word.end - word.begin));
  }
  return out;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("normalising composes, joins white space and lowers case without context") {
  CHECK(ldm::normalize_clip("A\t\n \u00A0B").text == "a b");
  CHECK(ldm::normalize_clip("e\u0301").text == "\u00e9");
  CHECK(ldm::normalize_clip("\u039f\u0394\u039f\u03a3").text == "\u03bf\u03b4\u03bf\u03c3");
  CHECK(ldm::normalize_clip("\u0130").text == "i\u0307");
  CHECK(ldm::normalize_clip("\u212b \u2126").text == "\u00e5 \u03c9");
  CHECK(ldm::normalize_clip("a\x01"
                            "b\u200d")
            .text ==
        "a\x01"
        "b\u200d");
  CHECK(ldm::normalize_clip("").text.empty());
}

TEST_CASE("normalising keeps every byte's place in the original") {
  const std::string text = "A  e\u0301\u1112\u1161\u11ab \u0130z";
  const ldm::NormalizedText clean = ldm::normalize_clip(text);
  REQUIRE(clean.text == "a \u00e9\ud55c i\u0307z");
  REQUIRE(clean.source.size() == clean.text.size());
  const std::vector<std::size_t> expected = {0, 1, 3, 3, 6, 6, 6, 15, 16, 16, 16, 18};
  CHECK(clean.source == expected);
}

TEST_CASE("compositions and marks younger than Unicode 9 are left as they stand") {
  CHECK(ldm::normalize_clip("a\u07fd\u0334").text == "a\u07fd\u0334");
  CHECK(ldm::normalize_clip("\U00011935\U00011930").text == "\U00011935\U00011930");
  CHECK(ldm::normalize_clip("q\u0301\u0334").text == "q\u0334\u0301");
}

TEST_CASE("capitals younger than ICU 72 are lowered") {
  CHECK(ldm::normalize_clip("\U00010D50\U00010D65").text == "\U00010D70\U00010D85");
  CHECK(ldm::normalize_clip("\ua7cb\ua7dc").text == "\u0264\u019b");
  CHECK(ldm::normalize_clip("\U00016EA0").text == "\U00016EBB");
}

TEST_CASE("splitting follows CLIP's expression") {
  CHECK(words("a photo, 2024!!") == Words{"a", "photo", ",", "2", "0", "2", "4", "!!"});
  CHECK(words("don't we'll") == Words{"don", "'t", "we", "'ll"});
  CHECK(words("'sit '") == Words{"'s", "it", "'"});
  CHECK(words("''s !'s") == Words{"''", "s", "!'", "s"});
  CHECK(words("a\u0301b") == Words{"a", "\u0301", "b"});
  CHECK(words(" ").empty());
  CHECK(words("\U0001F642\u200d\U0001F642z") == Words{"\U0001F642\u200d\U0001F642", "z"});
}

TEST_CASE("a marker that is not an added token falls apart at its own edges") {
  CHECK(words("<|endoftext|>>") == Words{"<|", "endoftext", "|>", ">"});
  CHECK(words("!<|startoftext|>>") == Words{"!<|", "startoftext", "|>>"});
  CHECK(words("<|endoftext|") == Words{"<|", "endoftext", "|"});
}

TEST_CASE("letters and numbers of Unicode 16 are known whatever ICU knows") {
  CHECK(words("a\U00010D4A") == Words{"a\U00010D4A"});
  CHECK(words("\U0001CCF0\U0001CCF1") == Words{"\U0001CCF0", "\U0001CCF1"});
  CHECK(words("a\U00016EA0") == Words{"a", "\U00016EA0"});
}
