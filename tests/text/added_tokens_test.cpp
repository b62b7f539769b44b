#include "ldm/text/added_tokens.h"

#include <string>
#include <vector>

#include "ldm/core/text.h"
#include "tests/support/catch.h"

namespace {

ldm::AddedToken token(const std::string& content) {
  ldm::AddedToken out;
  out.content = content;
  return out;
}

// "[id]" for tokens, "(text)" for the stretches between.
std::string cut(const ldm::AddedTokenSplitter& splitter, const std::string& text) {
  std::string out;
  for (const auto& part : splitter.split(text)) {
    if (part.id) {
      out += ldm::cat("[", *part.id, "]");
    } else {
      out += ldm::cat("(", text.substr(part.begin, part.end - part.begin), ")");
    }
  }
  return out;
}

}  // namespace

TEST_CASE("added tokens cut the text, the leftmost and longest first") {
  ldm::AddedTokenSplitter splitter;
  CHECK(cut(splitter, "abc") == "(abc)");
  splitter.add(token("<a"), 1);
  splitter.add(token("<ab>"), 2);
  CHECK(cut(splitter, "x<ab><a>") == "(x)[2][1](>)");
  CHECK(cut(splitter, "<<ab") == "(<)[1](b)");
  CHECK(cut(splitter, "").empty());
}

TEST_CASE("lstrip and rstrip take the white space beside a token") {
  ldm::AddedToken left = token("<l>");
  left.lstrip = true;
  ldm::AddedToken right = token("<r>");
  right.rstrip = true;
  ldm::AddedTokenSplitter splitter;
  splitter.add(left, 1);
  splitter.add(right, 2);
  CHECK(cut(splitter, "a \u3000<l> b") == "(a)[1]( b)");
  CHECK(cut(splitter, "a <r>\t b") == "(a )[2](b)");
  CHECK(cut(splitter, "<r>  <l>") == "[2][1]");
}

TEST_CASE("a single-word token is not found inside a word") {
  ldm::AddedToken word = token("cat");
  word.single_word = true;
  ldm::AddedTokenSplitter splitter;
  splitter.add(word, 5);
  CHECK(cut(splitter, "cat cats (cat) \u00e9cat cat_") == "[5]( cats ()[5]() \u00e9cat cat_)");
  CHECK(cut(splitter, "cat\U00010D4A cat\u0897 cat\U00010D8F") ==
        "(cat\U00010D4A cat\u0897 )[5](\U00010D8F)");
}
