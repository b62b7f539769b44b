#include "ldm/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"
#include "ldm/text/bert_tokenizer.h"
#include "ldm/text/clip_tokenizer.h"
#include "ldm/text/sentencepiece_tokenizer.h"
#include "ldm/text/tokenizer_files.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

enum class Kind { kClip, kBert, kXLMRoberta, kT5, kAlbert };

struct ClassRow {
  std::string_view name;  // without "Fast"
  Kind kind;
};

constexpr auto kClasses = std::to_array<ClassRow>({
    {"CLIPTokenizer", Kind::kClip},
    {"BertTokenizer", Kind::kBert},
    {"XLMRobertaTokenizer", Kind::kXLMRoberta},
    {"T5Tokenizer", Kind::kT5},
    {"AlbertTokenizer", Kind::kAlbert},
});

struct FileRow {
  const char* name;
  Kind kind;
};

constexpr auto kFiles = std::to_array<FileRow>({
    {"sentencepiece.bpe.model", Kind::kXLMRoberta},
    {"spiece.model", Kind::kT5},
    {"tokenizer.model", Kind::kT5},
    {"vocab.json", Kind::kClip},
    {"vocab.txt", Kind::kBert},
});

// An older writer's "PreTrainedTokenizerFast" names no class: the files decide.
std::optional<Kind> kind_of_class(const json& config) {
  const json& value = json_member(config, "tokenizer_class");
  if (value.is_null()) return std::nullopt;
  const std::string where = "tokenizer_config.json: /tokenizer_class";
  if (!value.is_string()) refuse_tokenizer(where, "expected a string");
  auto name = value.get<std::string>();
  if (name == "PreTrainedTokenizerFast" || name == "TokenizersBackend") return std::nullopt;
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  std::vector<std::string> known;
  for (const ClassRow& row : kClasses) {
    if (row.name == name) return row.kind;
    known.emplace_back(row.name);
  }
  throw Error::model(cat(where, ": \"", value.get<std::string>(), "\" is not supported"),
                     cat("the classes are ", join(known, ", ")));
}

Kind kind_of_tokenizer_json(const fs::path& folder) {
  const json tokenizer = read_json_file(folder / "tokenizer.json", kVocabularyJson);
  const json& model = json_member(tokenizer, "model");
  const json type = model.is_object() ? json_member(model, "type") : json();
  if (type == "WordPiece") return Kind::kBert;
  if (type != "Unigram") return Kind::kClip;
  const json& unknown = json_member(model, "unk_id");
  return unknown == 3 ? Kind::kXLMRoberta : Kind::kT5;
}

Kind kind_of_files(const fs::path& folder) {
  for (const FileRow& row : kFiles) {
    if (fs::exists(folder / row.name)) return row.kind;
  }
  if (fs::exists(folder / "tokenizer.json")) return kind_of_tokenizer_json(folder);
  throw Error::model(cat(folder.string(), ": no tokenizer is here"),
                     "name a folder with vocab.json and merges.txt, vocab.txt, a SentencePiece "
                     "model or tokenizer.json");
}

}  // namespace

std::shared_ptr<const Tokenizer> open_tokenizer(const fs::path& folder,
                                                const TokenizerOptions& options) {
  const auto chosen = kind_of_class(read_tokenizer_config(folder));
  const auto sentencepiece = [&](SentencePieceClass kind) {
    return std::make_shared<SentencePieceTokenizer>(
        SentencePieceTokenizer::from_folder(folder, kind, options.do_lower_case));
  };
  switch (chosen ? *chosen : kind_of_files(folder)) {
    case Kind::kClip:
      return std::make_shared<CLIPTokenizer>(CLIPTokenizer::from_folder(folder));
    case Kind::kBert:
      return std::make_shared<BertTokenizer>(BertTokenizer::from_folder(folder));
    case Kind::kXLMRoberta:
      return sentencepiece(SentencePieceClass::kXLMRoberta);
    case Kind::kT5:
      return sentencepiece(SentencePieceClass::kT5);
    case Kind::kAlbert:
      return sentencepiece(SentencePieceClass::kAlbert);
  }
  throw Error::internal("open_tokenizer: no such kind");
}

}  // namespace ldm
