#include "ldm/text/sentencepiece_tokenizer.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "ldm/core/error.h"
#include "ldm/text/sentencepiece_proto.h"
#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/text/tokenizer_goldens.h"

namespace {

using ldm::SentencePieceClass;
using ldm::SentencePieceTokenizer;
using ldm::test::Contains;
using ldm::test::Ids;
using ldm::test::TempDir;
using nlohmann::json;

const json& golden() { return ldm::test::tokenizer_golden()["sentencepiece_models"]; }

std::string model_bytes(const std::string& name) {
  return ldm::test::slurp(ldm::test::test_file("golden/text/" + name + ".model"));
}

SentencePieceClass class_of(const std::string& name) {
  return name == "xlm-roberta" ? SentencePieceClass::kXLMRoberta : SentencePieceClass::kT5;
}

SentencePieceTokenizer load(const std::string& name) {
  const TempDir folder;
  folder.write(golden()["names"][name].get<std::string>(), model_bytes(name));
  for (const auto& [file, content] : golden()["files"][name].items()) {
    folder.write(file, content.dump());
  }
  return SentencePieceTokenizer::from_folder(folder.path(), class_of(name));
}

// The folder that transformers 5 writes: tokenizer.json alone, filled with the model's pieces.
SentencePieceTokenizer load_saved(const std::string& name) {
  json files = golden()["saved"][name];
  const auto proto = ldm::parse_sentencepiece(model_bytes(name), name);
  json vocabulary = json::array();
  const bool fairseq = name == "xlm-roberta";
  if (fairseq) {
    for (const char* piece : {"<s>", "<pad>", "</s>", "<unk>"}) vocabulary.push_back({piece, 0.0});
  }
  for (std::size_t i = fairseq ? 3 : 0; i < proto.pieces.size(); ++i) {
    vocabulary.push_back({proto.pieces[i].text, proto.pieces[i].score});
  }
  if (fairseq) vocabulary.push_back({"<mask>", 0.0});
  for (int i = fairseq ? 0 : 100; i > 0; --i) {
    vocabulary.push_back({"<extra_id_" + std::to_string(i - 1) + ">", 0.0});
  }
  files["tokenizer.json"]["model"]["vocab"] = vocabulary;
  const TempDir folder;
  for (const auto& [file, content] : files.items()) folder.write(file, content.dump());
  return SentencePieceTokenizer::from_folder(folder.path(), class_of(name));
}

void check_ids(const SentencePieceTokenizer& tokenizer, const std::string& name) {
  const auto texts = ldm::test::golden_texts();
  const json& ids = golden()["ids"][name];
  REQUIRE(ids.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    INFO(name << ": " << texts[i]);
    CHECK(tokenizer.tokenize(texts[i]) == ids[i].get<Ids>());
  }
}

ldm::Error refusal(const std::string& bytes) {
  const TempDir folder;
  folder.write("spiece.model", bytes);
  const auto error = ldm::test::error_of(
      [&] { SentencePieceTokenizer::from_folder(folder.path(), SentencePieceClass::kT5); });
  REQUIRE(error);
  CHECK(error->code() == ldm::ErrorCode::kModel);
  CHECK_FALSE(error->hint().empty());
  return *error;
}

}  // namespace

TEST_CASE("sentencepiece ids equal the public library's", "[golden]") {
  for (const char* name : {"xlm-roberta", "t5", "rinna"}) check_ids(load(name), name);
}

TEST_CASE("sentencepiece ids are the same from tokenizer.json", "[golden]") {
  for (const char* name : {"xlm-roberta", "t5"}) check_ids(load_saved(name), name);
}

TEST_CASE("sentencepiece encodings are cut and padded as by transformers", "[golden]") {
  for (const std::string name : {"xlm-roberta", "t5"}) {
    const SentencePieceTokenizer tokenizer = load(name);
    const std::size_t room = name == "t5" ? 76 : 75;
    const auto texts = ldm::test::long_golden_texts();
    const json& encodings = golden()["encodings"][name];
    REQUIRE(encodings.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ": " << texts[i]);
      const ldm::Encoding encoding = tokenizer.encode(texts[i]);
      CHECK(encoding.ids == encodings[i].get<Ids>());
      CHECK(encoding.cut_text.empty() == (encoding.token_count <= room));
      CHECK(texts[i].ends_with(encoding.cut_text));
    }
  }
}

TEST_CASE("sentencepiece special ids are those of the class", "[golden]") {
  const SentencePieceTokenizer xlmr = load("xlm-roberta");
  CHECK(xlmr.bos_id() == 0);
  CHECK(xlmr.pad_id() == 1);
  CHECK(xlmr.eos_id() == 2);
  CHECK(xlmr.piece(3) == "<unk>");
  CHECK(xlmr.piece(xlmr.vocab_size() - 1) == "<mask>");
  CHECK(xlmr.piece(xlmr.vocab_size()).empty());
  CHECK(xlmr.max_length() == 77);

  const SentencePieceTokenizer t5 = load("t5");
  CHECK(t5.bos_id() == -1);
  CHECK(t5.pad_id() == 0);
  CHECK(t5.eos_id() == 1);
  CHECK(t5.piece(t5.vocab_size() - 1) == "<extra_id_0>");
  CHECK(t5.max_length() == 77);  // the folder says 512
  CHECK(t5.encode("").ids.front() == 1);

  const SentencePieceTokenizer rinna = load("rinna");
  CHECK(rinna.piece(rinna.pad_id()) == "[PAD]");
  CHECK(rinna.piece(rinna.eos_id()) == "</s>");
  CHECK(rinna.vocab_size() ==
        static_cast<std::int64_t>(
            ldm::parse_sentencepiece(model_bytes("rinna"), "rinna").pieces.size()));
}

TEST_CASE("a pipeline may lower a prompt's case in a folder's place", "[golden]") {
  const TempDir folder;
  folder.write("spiece.model", model_bytes("rinna"));
  folder.write("tokenizer_config.json", R"({"extra_ids": 0, "pad_token": "[PAD]"})");
  const auto open = [&](std::optional<bool> lower) {
    return SentencePieceTokenizer::from_folder(folder.path(), SentencePieceClass::kT5, lower);
  };
  const Ids lower = open(true).tokenize("A Red FOX");
  CHECK(lower == open(std::nullopt).tokenize("a red fox"));
  CHECK(lower != open(std::nullopt).tokenize("A Red FOX"));
  // Final sigma, and the way back through a letter that grows: U+0130 becomes two.
  CHECK(open(true).tokenize("ΟΔΟΣ") == open(false).tokenize("οδος"));
  std::string words;
  for (int i = 0; i < 80; ++i) words += "\u0130 ";
  const ldm::Encoding encoding = open(true).encode(words);
  CHECK(encoding.cut_text.starts_with("\u0130"));
}

TEST_CASE("what truncation cuts off starts behind the white space", "[golden]") {
  const SentencePieceTokenizer tokenizer = load("xlm-roberta");
  const std::size_t each = tokenizer.tokenize("fox").size();
  std::string words;
  for (std::size_t i = 0; i < 75 / each; ++i) words += "fox ";
  if (75 % each == 0) {
    CHECK(tokenizer.encode(words + "\u3000 Tail  end").cut_text == "Tail  end");
  }
  CHECK(tokenizer.encode(words).cut_text.empty());
}

TEST_CASE("folders without a sentencepiece model say what is needed") {
  const auto refused = [](const std::string& file, const std::string& content,
                          const std::string& message) {
    const TempDir folder;
    folder.write(file, content);
    const auto error = ldm::test::error_of([&] {
      SentencePieceTokenizer::from_folder(folder.path(), SentencePieceClass::kXLMRoberta);
    });
    REQUIRE(error);
    CHECK(error->code() == ldm::ErrorCode::kModel);
    CHECK_THAT(error->message(), Contains(message));
    CHECK_THAT(error->hint(), Contains("sentencepiece.bpe.model"));
  };
  refused("vocab.txt", "", "has no SentencePiece model");
  refused("tokenizer.json", R"({"model": {"type": "BPE"}})", "expected \"Unigram\"");
  refused("tokenizer.json",
          R"({"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true,
              "vocab": [["<unk>", 0.0]]}})",
          "/model/byte_fallback");
}

TEST_CASE("files that are no sentencepiece model are refused", "[golden]") {
  CHECK(refusal("").rule() == "E_SPM_WIRE");
  CHECK(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:0\n").hint() ==
        "run `git lfs pull` in that folder");
  CHECK(refusal("<!DOCTYPE html><html></html>").rule() == "E_SPM_WIRE");
  CHECK(refusal(std::string(1000, '\0')).rule() == "E_SPM_WIRE");
  CHECK(refusal(std::string(1000, '\xff')).rule() == "E_SPM_WIRE");
  const std::string whole = model_bytes("t5");
  std::set<std::string> rules;
  // An empty denormaliser, which does not count, is the last field.
  for (std::size_t size = 1; size + 8 < whole.size(); size += 7) {
    rules.insert(refusal(whole.substr(0, size)).rule());
  }
  CHECK(rules.count("E_SPM_WIRE") == 1);
}

TEST_CASE("every flipped byte of a model is refused or harmless", "[golden]") {
  const TempDir folder;
  const std::string whole = model_bytes("t5");
  std::size_t refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 3) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    folder.write("spiece.model", bytes);
    const auto error = ldm::test::error_of([&] {
      const auto tokenizer =
          SentencePieceTokenizer::from_folder(folder.path(), SentencePieceClass::kT5);
      CHECK(tokenizer.encode("Ａ red fox, セ\u3099 ① \u3000 photo of é").ids.size() == 77);
    });
    if (!error) continue;
    ++refused;
    CHECK(error->code() == ldm::ErrorCode::kModel);
  }
  CHECK(refused > whole.size() / 3 / 20);
}

TEST_CASE("models that the library would follow blindly are refused", "[golden]") {
  using Type = ldm::SentencePieceProto::Type;
  const auto rule_of = [](auto&& change) {
    ldm::SentencePieceProto proto = ldm::parse_sentencepiece(model_bytes("t5"), "t5");
    change(proto);
    return refusal(ldm::serialize_sentencepiece(proto)).rule();
  };
  CHECK(rule_of([](auto& proto) { proto.pieces[9].text.clear(); }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].text = "\xff"; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].text += '\0'; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].text.assign(5000, 'a'); }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9] = proto.pieces[10]; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].type = Type::kUnknown; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[2].type = Type::kNormal; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].type = static_cast<Type>(9); }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.pieces[9].score = NAN; }) == "E_SPM_PIECE");
  CHECK(rule_of([](auto& proto) { proto.trainer_spec += "\x18\x09"; }) == "E_SPM_TYPE");
  const auto charsmap = [&](const std::string& map) {
    return rule_of([&](auto& proto) {
      proto.normalizer_spec = std::string("\x12") + static_cast<char>(map.size()) + map;
    });
  };
  using std::string_literals::operator""s;
  CHECK(charsmap("\x04\0\0"s) == "E_SPM_CHARSMAP");
  CHECK(charsmap("\xff\xff\xff\x7f____"s) == "E_SPM_CHARSMAP");
  CHECK(charsmap("\x04\0\0\0\0\x04\0\0\0"s) == "E_SPM_CHARSMAP");     // root beyond the trie
  CHECK(charsmap("\x04\0\0\0\0\xfc\xff\xffz"s) == "E_SPM_CHARSMAP");  // no end of replacements
}
