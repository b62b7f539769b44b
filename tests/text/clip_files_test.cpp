#include "ldm/text/clip_files.h"

#include <nlohmann/json.hpp>
#include <string>

#include "ldm/core/error.h"
#include "ldm/text/clip_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

using Catch::Matchers::Contains;

using ldm::test::TempDir;
using nlohmann::json;

constexpr const char* kVocabulary =
    R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "<|startoftext|>": 5,
        "<|endoftext|>": 6, "!": 7})";

// A small folder of the published form.
void write_folder(const TempDir& folder) {
  folder.write("vocab.json", kVocabulary);
  folder.write("merges.txt", "#version: 0.2\na b</w>\n");
}

json tokenizer_json() {
  return {
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers", {{{"type", "NFC"}}, {{"type", "Replace"}}, {{"type", "Lowercase"}}}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Split"}}, {{"type", "ByteLevel"}}}}}},
      {"model",
       {{"type", "BPE"},
        {"end_of_word_suffix", "</w>"},
        {"vocab", json::parse(kVocabulary)},
        {"merges", json::array({"a b</w>"})}}},
      {"added_tokens", json::array()}};
}

void check_refused(const TempDir& folder, const std::string& message) {
  INFO(message);
  try {
    ldm::CLIPTokenizer::from_folder(folder.path());
    FAIL("accepted");
  } catch (const ldm::Error& error) {
    CHECK(error.code() == ldm::ErrorCode::kModel);
    CHECK_THAT(error.message(), Contains(message));
    CHECK_FALSE(error.hint().empty());
  }
}

}  // namespace

TEST_CASE("a small folder loads in both forms alike") {
  const TempDir folder;
  write_folder(folder);
  const auto published = ldm::CLIPTokenizer::from_folder(folder.path());
  const TempDir other;
  other.write("tokenizer.json", tokenizer_json().dump());
  const auto saved = ldm::CLIPTokenizer::from_folder(other.path());
  for (const auto* tokenizer : {&published, &saved}) {
    CHECK(tokenizer->tokenize("AB ba!") == std::vector<std::int64_t>{4, 1, 2, 6});
    CHECK(tokenizer->max_length() == 77);
  }
}

TEST_CASE("the config and the special tokens map set pad, specials and length") {
  const TempDir folder;
  write_folder(folder);
  folder.write("tokenizer_config.json", R"({"model_max_length": 5, "pad_token": "b"})");
  folder.write("special_tokens_map.json", R"({"pad_token": {"content": "!"}})");
  const auto tokenizer = ldm::CLIPTokenizer::from_folder(folder.path());
  CHECK(tokenizer.encode("ab").ids == std::vector<std::int64_t>{5, 4, 6, 7, 7});
  const ldm::Encoding cut = tokenizer.encode("a b!a  ");
  CHECK(cut.ids == std::vector<std::int64_t>{5, 2, 3, 7, 6});
  CHECK(cut.token_count == 4);
  CHECK(cut.cut_text == "a  ");
}

TEST_CASE("transformers' figure for no length limit leaves CLIP's 77") {
  const TempDir folder;
  write_folder(folder);
  folder.write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  CHECK(ldm::CLIPTokenizer::from_folder(folder.path()).max_length() == 77);
}

TEST_CASE("missing and malformed tokenizer files are named") {
  const TempDir folder;
  check_refused(folder, "vocab.json");
  folder.write("vocab.json", kVocabulary);
  check_refused(folder, "merges.txt");
  folder.write("merges.txt", "a b</w>\na\n");
  check_refused(folder, "merges.txt:2: ");
  folder.write("merges.txt", "a b</w>\n\nb b\n");
  check_refused(folder, "merges.txt:2: ");
  folder.write("merges.txt", "a b</w>\nb b\n");
  check_refused(folder, "merges.txt:2: \"bb\" is not in the vocabulary");
  folder.write("merges.txt", "a b</w>\n");
  folder.write("vocab.json", R"({"a": -1})");
  check_refused(folder, "vocab.json: \"a\"");
  folder.write("vocab.json", R"({"a": 99999999999})");
  check_refused(folder, "vocab.json: \"a\"");
  folder.write("vocab.json", R"({"a": 1.5})");
  check_refused(folder, "found 1.5");
  folder.write("vocab.json", "[1]");
  check_refused(folder, "vocab.json: expected an object");
  folder.write("vocab.json", R"({"a": 1, "a": 2})");
  CHECK_THROWS_WITH(ldm::CLIPTokenizer::from_folder(folder.path()), Contains("vocab.json"));
}

TEST_CASE("wrong special tokens and configs are named") {
  const TempDir folder;
  write_folder(folder);
  const auto refused = [&](const char* file, const char* text, const char* message) {
    folder.write(file, text);
    check_refused(folder, message);
    std::filesystem::remove(folder / file);
  };
  const char* config = "tokenizer_config.json";
  refused(config, R"({"model_max_length": 2})", "/model_max_length: expected 3 to");
  refused(config, R"({"model_max_length": "77"})", "/model_max_length: expected a number");
  refused(config, R"({"pad_token": 3})", "/pad_token: expected a token");
  refused(config, R"({"pad_token": ""})", "/pad_token: expected a token");
  refused(config, R"({"pad_token": null})", "pad_token is null");
  refused(config, R"({"padding_side": "left"})", "/padding_side: only \"right\"");
  refused(config, R"({"added_tokens_decoder": {"x": {"content": "!"}}})",
          "/x: expected a token id");
  refused(config, "[]", "tokenizer_config.json: expected an object");
  refused("special_tokens_map.json", R"({"pad_token": {"lstrip": true}})", "without \"content\"");
  refused("special_tokens_map.json", R"({"pad_token": {"content": "!", "lstrip": 1}})",
          "/pad_token/lstrip: expected true or false");
  refused("added_tokens.json", R"({"<x>": "7"})", "added_tokens.json: \"<x>\"");
}

TEST_CASE("a tokenizer.json of another pipeline is refused") {
  const auto refused = [](const char* pointer, const json& value, const char* message) {
    const TempDir folder;
    json tokenizer = tokenizer_json();
    tokenizer[json::json_pointer(pointer)] = value;
    folder.write("tokenizer.json", tokenizer.dump());
    check_refused(folder, message);
  };
  refused("/normalizer", nullptr, "/normalizer: expected Sequence(NFC Replace Lowercase), found n");
  refused("/normalizer/normalizers/0/type", "NFKC", "found Sequence(NFKC Replace Lowercase)");
  refused("/pre_tokenizer", {{"type", "Whitespace"}}, "found Whitespace");
  refused("/model/type", "WordPiece", "/model/type: expected \"BPE\"");
  refused("/model/end_of_word_suffix", "", "/model/end_of_word_suffix");
  refused("/model", 3, "/model: expected an object");
  refused("/model/vocab", json::array(), "/model/vocab: expected an object");
  refused("/model/merges/0", 3, "/model/merges/0: expected a pair");
  refused("/model/merges/0", json::array({"a", "q"}), "\"q\" is not in the vocabulary");
  refused("/added_tokens", 1, "/added_tokens: expected a list");
  refused("/added_tokens/0", {{"content", "x"}}, "/added_tokens/0: expected a token with an");
}
