#include "ldm/text/tokenizer.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "ldm/core/error.h"
#include "ldm/text/bert_tokenizer.h"
#include "ldm/text/clip_tokenizer.h"
#include "ldm/text/sentencepiece_tokenizer.h"
#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/text/tokenizer_goldens.h"

namespace {

using ldm::open_tokenizer;
using ldm::test::Contains;
using ldm::test::TempDir;

namespace fs = std::filesystem;

const fs::path kTokenizers = fs::path(LDM_SOURCE_DIR) / "weights" / "tokenizers";

template <typename Class>
bool opens(const TempDir& folder) {
  return dynamic_cast<const Class*>(open_tokenizer(folder.path()).get()) != nullptr;
}

std::string config(const char* name) {
  return std::string(R"({"tokenizer_class": ")") + name + "\"}";
}

std::string model(const char* name) {
  return ldm::test::slurp(ldm::test::test_file(std::string("golden/text/") + name + ".model"));
}

}  // namespace

TEST_CASE("the tokenizer's class decides, then the files", "[golden]") {
  const TempDir bert;
  bert.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n");
  CHECK(opens<ldm::BertTokenizer>(bert));
  bert.write("tokenizer_config.json", config("BertTokenizerFast"));
  CHECK(opens<ldm::BertTokenizer>(bert));

  const TempDir xlmr;
  xlmr.write("sentencepiece.bpe.model", model("xlm-roberta"));
  CHECK(open_tokenizer(xlmr.path())->bos_id() == 0);
  xlmr.write("tokenizer_config.json", config("XLMRobertaTokenizer"));
  CHECK(opens<ldm::SentencePieceTokenizer>(xlmr));

  const TempDir t5;
  t5.write("spiece.model", model("t5"));
  CHECK(open_tokenizer(t5.path())->bos_id() == -1);
  t5.write("tokenizer_config.json", config("T5TokenizerFast"));
  CHECK(open_tokenizer(t5.path())->bos_id() == -1);
}

TEST_CASE("albert's text is prepared and framed as its class does", "[golden]") {
  const TempDir folder;
  folder.write("spiece.model", model("rinna"));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "AlbertTokenizer",
                                           "pad_token": "[PAD]"})");
  const auto albert = open_tokenizer(folder.path());
  CHECK(albert->piece(albert->bos_id()) == "[CLS]");
  CHECK(albert->piece(albert->eos_id()) == "[SEP]");
  CHECK(albert->tokenize("``Ä rèd'' FOX") == albert->tokenize("\"a red\" fox"));
  CHECK(albert->max_length() == 77);
}

TEST_CASE("clip's shipped tokenizers are those of the published models", "[golden]") {
  const auto sd1 = open_tokenizer(kTokenizers / "clip");
  const auto sd2 = open_tokenizer(kTokenizers / "clip-sd2");
  CHECK(sd1->vocab_size() == 49408);
  CHECK(sd1->pad_id() == 49407);
  CHECK(sd2->pad_id() == 0);
  CHECK(sd2->max_length() == 77);
  const auto& cases = ldm::test::clip_golden()["cases"];
  for (const auto& one : cases) {
    INFO(one.dump());
    const auto ids = [&](const char* folder) {
      return (one.contains(folder) ? one[folder] : one["sd1"]).get<ldm::test::Ids>();
    };
    CHECK(sd1->tokenize(one["text"].get<std::string>()) == ids("sd15"));
    CHECK(sd2->tokenize(one["text"].get<std::string>()) == ids("sd2"));
  }
}

TEST_CASE("folders that no tokenizer can read are refused") {
  const TempDir folder;
  const auto refused = [&](const char* message) {
    const auto error = ldm::test::error_of([&] { open_tokenizer(folder.path()); });
    REQUIRE(error);
    CHECK(error->code() == ldm::ErrorCode::kModel);
    CHECK_THAT(error->message(), Contains(message));
    CHECK_FALSE(error->hint().empty());
  };
  refused("no tokenizer is here");
  folder.write("tokenizer_config.json", config("LlamaTokenizer"));
  refused("\"LlamaTokenizer\" is not supported");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": 3})");
  refused("expected a string");
  folder.write("tokenizer_config.json", config("CLIPTokenizer"));
  refused("has neither tokenizer.json nor vocab.json");
}
