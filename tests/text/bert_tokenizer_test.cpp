#include "ldm/text/bert_tokenizer.h"

#include <nlohmann/json.hpp>
#include <string>

#include "ldm/core/error.h"
#include "ldm/text/bert_text.h"
#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/text/tokenizer_goldens.h"

namespace {

using ldm::BertTokenizer;
using ldm::test::Contains;
using ldm::test::Ids;
using ldm::test::TempDir;
using nlohmann::json;

const json& golden() { return ldm::test::tokenizer_golden()["bert"]; }

std::string vocab_txt() {
  std::string out;
  for (const json& piece : golden()["vocabulary"]) out += piece.get<std::string>() + "\n";
  return out;
}

BertTokenizer load(const std::string& config) {
  const TempDir folder;
  folder.write("vocab.txt", vocab_txt());
  folder.write("tokenizer_config.json", golden()["configs"][config].dump());
  return BertTokenizer::from_folder(folder.path());
}

BertTokenizer load_saved() {
  const TempDir folder;
  json files = golden()["saved"];
  json vocabulary = json::object();
  const json& pieces = golden()["vocabulary"];
  for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id]] = id;
  files["tokenizer.json"]["model"]["vocab"] = vocabulary;
  for (const auto& [file, content] : files.items()) folder.write(file, content.dump());
  return BertTokenizer::from_folder(folder.path());
}

void check_ids(const BertTokenizer& tokenizer, const std::string& config) {
  const auto texts = ldm::test::golden_texts();
  const json& ids = golden()["ids"][config];
  REQUIRE(ids.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    INFO(config << ": " << texts[i]);
    CHECK(tokenizer.tokenize(texts[i]) == ids[i].get<Ids>());
  }
}

// The code points that `has` holds for, as the golden's ranges.
template <typename Predicate>
json ranges(Predicate&& has) {
  json out = json::array();
  for (char32_t c = 1; c < 0x110000; ++c) {
    if ((c >= 0xD800 && c <= 0xDFFF) || !has(c)) continue;
    if (!out.empty() && out.back()[1] == c - 1) {
      out.back()[1] = c;
    } else {
      out.push_back({c, c});
    }
  }
  return out;
}

std::string between(const char* left, char32_t c, const char* right) {
  std::string text = left;
  ldm::append_utf8(text, c);
  return text + right;
}

}  // namespace

TEST_CASE("bert ids equal the public tokenizer's", "[golden]") {
  for (const char* config : {"uncased", "cased", "keep", "joined"}) check_ids(load(config), config);
}

TEST_CASE("bert ids are the same from tokenizer.json", "[golden]") {
  check_ids(load_saved(), "uncased");
}

TEST_CASE("bert's classes of all code points equal the public tokenizer's", "[golden]") {
  const ldm::BertTextOptions none{false, false, false};
  const ldm::BertTextOptions ideographs{false, false, true};
  const ldm::BertTextOptions accents{false, true, false};
  const json& classes = golden()["classes"];
  CHECK(classes["removed"] == ranges([&](char32_t c) {
          return ldm::normalize_bert(between("a", c, "b"), none).text == "ab";
        }));
  CHECK(classes["ideograph"] == ranges([&](char32_t c) {
          return ldm::normalize_bert(between("a", c, "b"), ideographs).text ==
                 between("a ", c, " b");
        }));
  // The golden's "accent" stage runs without the cleaning that removes some code points before.
  CHECK(classes["accent"] == ranges([&](char32_t c) {
          return ldm::normalize_bert(between("", c, ""), none).text.size() > 0 &&
                 ldm::normalize_bert(between("", c, ""), accents).text.empty();
        }));
  CHECK(classes["punctuation"] ==
        ranges([](char32_t c) { return ldm::split_bert(between("a", c, "b")).size() == 3; }));
}

TEST_CASE("bert encodings are cut and padded as by the public tokenizer", "[golden]") {
  const BertTokenizer tokenizer = load("uncased");
  const auto texts = ldm::test::long_golden_texts();
  const json& encodings = golden()["encodings"];
  REQUIRE(encodings.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    INFO(texts[i]);
    const ldm::Encoding encoding = tokenizer.encode(texts[i]);
    CHECK(encoding.ids == encodings[i].get<Ids>());
    CHECK(encoding.pieces.size() == 77);
    CHECK(encoding.cut_text.empty() == (encoding.token_count <= 75));
    CHECK(texts[i].ends_with(encoding.cut_text));
  }
}

TEST_CASE("bert special ids and pieces follow the folder", "[golden]") {
  const BertTokenizer tokenizer = load("uncased");
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.bos_id() == 2);
  CHECK(tokenizer.eos_id() == 3);
  CHECK(tokenizer.max_length() == 77);  // the folder says 512
  CHECK(static_cast<std::size_t>(tokenizer.vocab_size()) == golden()["vocabulary"].size());
  CHECK(tokenizer.piece(2) == "[CLS]");
  CHECK(tokenizer.piece(-1).empty());
  CHECK(tokenizer.piece(1 << 20).empty());
  CHECK(tokenizer.encode("a fox").pieces[2] == "fox");
}

TEST_CASE("what truncation cuts off a bert prompt starts at a whole character", "[golden]") {
  const BertTokenizer tokenizer = load("uncased");
  std::string words;
  for (int i = 0; i < 75; ++i) words += "fox ";
  CHECK(tokenizer.encode(words + " Ünder it").cut_text == "Ünder it");
  CHECK(tokenizer.encode(words + "\u5bcc\u58eb").cut_text == "\u5bcc\u58eb");
  CHECK(tokenizer.encode(words).cut_text.empty());
}

TEST_CASE("bert folders that are not usable are refused with the file") {
  const auto refused = [](const std::string& file, const std::string& content,
                          const std::string& message) {
    const TempDir folder;
    folder.write(file, content);
    const auto error = ldm::test::error_of([&] { BertTokenizer::from_folder(folder.path()); });
    REQUIRE(error);
    CHECK(error->code() == ldm::ErrorCode::kModel);
    CHECK_THAT(error->message(), Contains(message));
    CHECK_FALSE(error->hint().empty());
  };
  refused("merges.txt", "", "has neither tokenizer.json nor vocab.txt");
  refused("vocab.txt", "", "vocab.txt: is empty");
  refused("vocab.txt", "[PAD]\n\xff\n", "vocab.txt: byte 6 is not valid UTF-8");
  refused("vocab.txt", "[PAD]\na\n", "lacks the unknown token \"[UNK]\"");
  refused("tokenizer.json", R"({"model": {"type": "BPE"}})",
          "expected \"WordPiece\", found \"BPE\"");
  refused("tokenizer.json",
          R"({"model": {"type": "WordPiece", "vocab": {"a": -1}},
              "normalizer": {"type": "BertNormalizer"},
              "pre_tokenizer": {"type": "BertPreTokenizer"}})",
          "expected an id of 0");
}
