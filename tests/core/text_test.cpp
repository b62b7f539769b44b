#include "ldm/core/text.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("control, bidi and invalid bytes are escaped, other text is kept") {
  CHECK(escape_control("plain ü 猫 🍎") == "plain ü 猫 🍎");
  CHECK(escape_control("\x1b]0;x\x07") == "\\x1b]0;x\\x07");
  CHECK(escape_control("a\xE2\x80\xAE"
                       "b") == "a\\u{202e}b");
  CHECK(escape_control("\xff\xfe") == "\\xff\\xfe");
  CHECK(escape_control("cut \xE7\x8C") == "cut \\xe7\\x8c");
  CHECK(escape_control("\xC2\x85") == "\\u{85}");
}

TEST_CASE("UTF-8 is checked as RFC 3629 says") {
  CHECK(find_invalid_utf8("") == std::string::npos);
  CHECK(find_invalid_utf8("aé猫🍎") == std::string::npos);
  CHECK(find_invalid_utf8("ab\xff") == 2);
  CHECK(find_invalid_utf8("\xC0\xAF") == 0);           // overlong
  CHECK(find_invalid_utf8("\xED\xA0\x80") == 0);       // a surrogate
  CHECK(find_invalid_utf8("x\xF4\x90\x80\x80") == 1);  // beyond U+10FFFF
  CHECK(find_invalid_utf8("猫\xE7\x8C") == 3);         // cut short
}

TEST_CASE("the nearest word is suggested, the list otherwise") {
  const std::vector<std::string> names = {"ddim", "euler", "euler-a"};
  CHECK(did_you_mean("eulr", names) == "did you mean euler?");
  CHECK(did_you_mean("eulera", names) == "did you mean euler-a?");
  CHECK(did_you_mean("zzzzzz", names) == "one of: ddim, euler, euler-a");
}

TEST_CASE("join stops at the most") {
  const std::vector<std::string> items = {"a", "b", "c"};
  CHECK(join(items, ", ") == "a, b, c");
  CHECK(join(items, ", ", 2) == "a, b … and 1 more");
  CHECK(join({}, ", ").empty());
}

TEST_CASE("bytes in human figures") {
  CHECK(human_bytes(512) == "512 B");
  CHECK(human_bytes(1.5 * 1024 * 1024 * 1024) == "1.5 GiB");
}

}  // namespace ldm
