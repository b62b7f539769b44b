#include "ldm/text/clip_tokenizer.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

using Catch::Matchers::Contains;

namespace fs = std::filesystem;
using ldm::CLIPTokenizer;
using nlohmann::json;
using Ids = std::vector<std::int64_t>;

const fs::path kVocabulary = fs::path(LDM_SOURCE_DIR) / "weights" / "default" / "tokenizer";

const json& golden() {
  static const json kGolden =
      json::parse(ldm::test::slurp(ldm::test::test_file("golden/text/clip_ids.json")));
  return kGolden;
}

// tokenizer.json's `model` with the vocabulary and merges that the golden leaves out.
void fill_model(json& model) {
  model["vocab"] = json::parse(ldm::test::slurp(kVocabulary / "vocab.json"));
  std::istringstream lines(ldm::test::slurp(kVocabulary / "merges.txt"));
  std::string left;
  std::string right;
  std::getline(lines, left);
  model["merges"] = json::array();
  while (lines >> left >> right) model["merges"].push_back({left, right});
}

CLIPTokenizer load(const std::string& name) {
  const ldm::test::TempDir folder;
  json files = golden()["folders"][name];
  if (files.contains("tokenizer.json")) {
    fill_model(files["tokenizer.json"]["model"]);
  } else {
    fs::copy(kVocabulary / "vocab.json", folder / "vocab.json");
    fs::copy(kVocabulary / "merges.txt", folder / "merges.txt");
  }
  for (const auto& [file, content] : files.items()) folder.write(file, content.dump());
  return CLIPTokenizer::from_folder(folder.path());
}

// Compares one folder's ids with those that the golden has under `key`.
void check_folder(const std::string& name, const std::string& key) {
  INFO(name);
  const CLIPTokenizer tokenizer = load(name);
  for (const json& one : golden()["cases"]) {
    const auto text = one["text"].get<std::string>();
    INFO(one.dump());
    const json& ids = one.contains(key) ? one[key] : one["sd1"];
    CHECK(tokenizer.tokenize(text) == ids.get<Ids>());
  }
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("clip ids equal the public tokenizer's for every published folder form", "[golden]") {
  for (const char* name : {"bare", "sd1", "sd15", "sd2", "decoder", "added", "flags"}) {
    check_folder(name, name);
  }
}

TEST_CASE("clip ids are the same from tokenizer.json", "[golden]") {
  for (const char* name : {"sd1", "sd2", "added"}) check_folder(ldm::cat(name, "_saved"), name);
}

TEST_CASE("clip encodings are cut and padded as by the public tokenizer", "[golden]") {
  const std::map<std::string, CLIPTokenizer> tokenizers = {{"sd1", load("sd1")},
                                                           {"sd2", load("sd2")}};
  for (const json& one : golden()["encodings"]) {
    INFO(one.dump());
    const auto text = one["text"].get<std::string>();
    const CLIPTokenizer& tokenizer = tokenizers.at(one["folder"].get<std::string>());
    const ldm::Encoding encoding = tokenizer.encode(text);
    CHECK(encoding.ids == one["input_ids"].get<Ids>());
    CHECK(encoding.pieces.size() == encoding.ids.size());
    CHECK(encoding.token_count == tokenizer.tokenize(text).size());
    CHECK(encoding.cut_text.empty() == (encoding.token_count <= 75));
    CHECK(text.ends_with(encoding.cut_text));
    // Nothing is lost: the ids that were dropped all stem from the text that is reported.
    CHECK(tokenizer.tokenize(encoding.cut_text).size() + 75 >= encoding.token_count);
  }
}

TEST_CASE("clip special ids follow the folder", "[golden]") {
  const CLIPTokenizer sd1 = load("sd1");
  CHECK(sd1.bos_id() == 49406);
  CHECK(sd1.eos_id() == 49407);
  CHECK(sd1.pad_id() == 49407);
  CHECK(sd1.max_length() == 77);
  CHECK(sd1.vocab_size() == 49408);
  const CLIPTokenizer sd2 = load("sd2");
  CHECK(sd2.pad_id() == 0);
  CHECK(sd2.tokenize("wow!!!") == Ids{2781, 0, 0, 0});
  CHECK(load("added").vocab_size() == 49411);
}

TEST_CASE("clip pieces spell the ids", "[golden]") {
  const ldm::Encoding encoding = load("sd2").encode("Wow! \u00e9");
  const std::vector<std::string> start(encoding.pieces.begin(), encoding.pieces.begin() + 6);
  CHECK(start == std::vector<std::string>{"<|startoftext|>", "wow</w>", "!", "\u00c3\u00a9</w>",
                                          "<|endoftext|>", "!"});
  CHECK(load("sd1").piece(-1).empty());
  CHECK(load("sd1").piece(1'000'000).empty());
}

TEST_CASE("what truncation cuts off is the end of the prompt as typed", "[golden]") {
  const CLIPTokenizer tokenizer = load("sd1");
  const auto cut = [&](const std::string& prompt) { return tokenizer.encode(prompt).cut_text; };
  const std::string words = repeat("word ", 75);
  CHECK(cut(words).empty());
  CHECK(cut(words + "  Tail  E\u0301nd") == "Tail  E\u0301nd");
  CHECK(cut(repeat("word ", 74) + "e\u0301 \u0130x") == "\u0130x");
  CHECK(cut(repeat("word\t", 75) + "<|endoftext|> x") == "<|endoftext|> x");
  // A character whose bytes are half cut off belongs to what is cut.
  CHECK(cut(repeat("word ", 74) + "\U00010D4A!") == "\U00010D4A!");
  CHECK(cut(repeat("word ", 74) + "g\u0323\u030a") == "\u0323\u030a");
}

TEST_CASE("prompts that are not text are refused with their byte", "[golden]") {
  const CLIPTokenizer tokenizer = load("sd1");
  const auto fails = [&](const std::string& prompt, const std::string& message) {
    try {
      tokenizer.encode(prompt);
      FAIL("accepted");
    } catch (const ldm::Error& error) {
      CHECK(error.code() == ldm::ErrorCode::kInput);
      CHECK_THAT(error.message(), Contains(message));
      CHECK_FALSE(error.hint().empty());
    }
  };
  fails("ab\xff", "byte 2 is not valid UTF-8");
  fails("\xed\xa0\x80", "byte 0 is not valid UTF-8");
  fails(std::string("a\0b", 3), "byte 1 is a NUL");
  fails(std::string(65537, 'a'), "65537 bytes");
  CHECK(tokenizer.encode(std::string(65536, 'a')).token_count > 75);
}
