#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ldm/text/tokenizer.h"
#include "tests/support/catch.h"

// LDM_TEXT_DIFFERENTIAL names a file of lines "HEX-OF-UTF-8 <tab> id id …" and
// LDM_TEXT_TOKENIZER the tokenizer folder that gave the ids; scripts/make_text_differential.py
// writes the file.
TEST_CASE("ids equal a large reference file", "[.differential]") {
  const char* file = std::getenv("LDM_TEXT_DIFFERENTIAL");
  const char* folder = std::getenv("LDM_TEXT_TOKENIZER");
  REQUIRE(file != nullptr);
  REQUIRE(folder != nullptr);
  const auto tokenizer = ldm::open_tokenizer(folder);
  std::ifstream in(file);
  REQUIRE(in);
  std::size_t count = 0;
  std::size_t wrong = 0;
  std::string first_lines;
  for (std::string line; std::getline(in, line); ++count) {
    const std::size_t tab = line.find('\t');
    std::string text;
    for (std::size_t i = 0; i + 1 < tab; i += 2) {
      text += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
    std::istringstream numbers(line.substr(tab + 1));
    std::vector<std::int64_t> expected;
    for (std::int64_t id = 0; numbers >> id;) expected.push_back(id);
    if (tokenizer->tokenize(text) == expected) continue;
    if (++wrong <= 20) first_lines += line + '\n';
  }
  INFO(wrong << " of " << count);
  INFO(first_lines);
  CHECK(count > 0);
  CHECK(wrong == 0);
}
