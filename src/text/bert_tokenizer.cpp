#include "ldm/text/bert_tokenizer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/text/bert_text.h"
#include "ldm/text/tokenizer_files.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kLatentDiffusionLength = 77;
constexpr std::size_t kMostBytes = std::size_t{32} << 20U;
constexpr std::int64_t kMostPieces = std::int64_t{1} << 22U;
constexpr std::int64_t kMostChars = 100;  // of a word; a longer one is unknown
constexpr const char* kPipelineHint =
    "this is not a BERT tokenizer; use a model whose tokenizer_class is BertTokenizer";

bool starts_char(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

std::string_view trim_end(std::string_view line) {
  while (!line.empty()) {
    std::size_t begin = line.size();
    if (char_class(previous_code_point(line, begin)) != CharClass::kSpace) break;
    line = line.substr(0, begin);
  }
  return line;
}

Vocabulary read_vocab_txt(const fs::path& path) {
  const std::string text = read_small_file(path, kMostBytes);
  if (const std::size_t at = find_invalid_utf8(text); at != std::string::npos) {
    refuse_tokenizer("vocab.txt", cat("byte ", at, " is not valid UTF-8"));
  }
  Vocabulary out;
  std::int64_t id = 0;
  for (std::string_view rest = text; !rest.empty(); ++id) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    out.insert_or_assign(std::string(trim_end(rest.substr(0, end))), id);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (out.empty()) refuse_tokenizer("vocab.txt", "is empty");
  if (id > kMostPieces) {
    refuse_tokenizer("vocab.txt", cat(id, " lines, at most ", kMostPieces, " are taken"));
  }
  return out;
}

Vocabulary read_tokenizer_json(const json& tokenizer) {
  const auto expect = [&](const json& object, const char* key, const char* place,
                          const char* expected) {
    const json& found = object.is_object() ? json_member(object, key) : object;
    if (found != expected) {
      refuse_tokenizer(cat("tokenizer.json: ", place),
                       cat("expected \"", expected, "\", found ", found.dump().substr(0, 40)),
                       kPipelineHint);
    }
  };
  const json& model = json_member(tokenizer, "model");
  expect(model, "type", "/model/type", "WordPiece");
  expect(json_member(tokenizer, "normalizer"), "type", "/normalizer/type", "BertNormalizer");
  expect(json_member(tokenizer, "pre_tokenizer"), "type", "/pre_tokenizer/type",
         "BertPreTokenizer");
  return parse_vocabulary(json_member(model, "vocab"), "tokenizer.json: /model/vocab");
}

}  // namespace

struct BertTokenizer::Impl {
  Impl(Vocabulary words, const SpecialTokens& tokens, const json& config)
      : pieces(std::move(words)),
        text(read_options(config)),
        added(
            tokens.in_order(), static_cast<std::int64_t>(pieces.size()), index(),
            [this](const std::string& piece) { return find(piece); },
            [this](const std::string& token) { return normalize_bert(token, text).text; }),
        frame{added.id(tokens.content("cls_token")), added.id(tokens.content("sep_token")),
              added.id(tokens.content("pad_token")),
              std::min(read_max_length(config, kLatentDiffusionLength), kLatentDiffusionLength)} {
    const std::string name = tokens.content("unk_token");
    const auto id = find(name);
    if (!id) refuse_tokenizer("the vocabulary", cat("lacks the unknown token \"", name, "\""));
    unknown = *id;
  }

  static BertTextOptions read_options(const json& config) {
    const std::string where = "tokenizer_config.json: ";
    BertTextOptions out;
    out.do_lower_case = read_flag(config, "do_lower_case", true, where);
    out.strip_accents = read_flag(config, "strip_accents", out.do_lower_case, where);
    out.tokenize_chinese_chars = read_flag(config, "tokenize_chinese_chars", true, where);
    return out;
  }

  std::optional<std::int64_t> find(const std::string& piece) const {
    const auto found = pieces.find(piece);
    if (found == pieces.end()) return std::nullopt;
    return found->second;
  }

  // Returns one more than the largest id.
  std::int64_t index() {
    for (const auto& [piece, id] : pieces) {
      const auto at = static_cast<std::size_t>(id);
      if (at >= spelling.size()) spelling.resize(at + 1);
      spelling[at] = piece;
      longest_piece = std::max(longest_piece, piece.size());
    }
    return static_cast<std::int64_t>(spelling.size());
  }

  void scan_text(std::string_view prompt, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const {
    const NormalizedText clean = normalize_bert(prompt, text);
    for (const auto& part : added.normalized().split(clean.text)) {
      if (part.id) {
        tokens.push_back({*part.id, offset + clean.source[part.begin]});
        continue;
      }
      const auto stretch = std::string_view(clean.text).substr(part.begin, part.end - part.begin);
      for (const TextRange& word : split_bert(stretch)) {
        const std::size_t first = tokens.size();
        add_word(stretch.substr(word.begin, word.end - word.begin), tokens);
        for (std::size_t i = first; i < tokens.size(); ++i) {
          tokens[i].begin = offset + clean.source[part.begin + word.begin + tokens[i].begin];
        }
      }
    }
  }

  // The longest piece at the beginning of `rest`: its id and its bytes of `rest`.
  std::optional<std::pair<std::int64_t, std::size_t>> longest(std::string_view rest,
                                                              const std::string& prefix) const {
    std::string piece = prefix;
    piece += rest.substr(0, longest_piece);
    for (std::size_t end = piece.size() - prefix.size(); end > 0; --end) {
      if (end < rest.size() && !starts_char(rest[end])) continue;
      piece.resize(prefix.size() + end);
      if (const auto id = find(piece)) return std::pair(*id, end);
    }
    return std::nullopt;
  }

  // Longest piece first, from the left; a word that cannot be spelled is unknown as a whole.
  void add_word(std::string_view word, std::vector<PlacedToken>& tokens) const {
    const std::size_t first = tokens.size();
    const auto chars = std::count_if(word.begin(), word.end(), starts_char);
    std::size_t at = chars > kMostChars ? word.size() + 1 : 0;
    while (at < word.size()) {
      const auto found = longest(word.substr(at), at == 0 ? "" : "##");
      tokens.push_back({found ? found->first : unknown, at});
      at = found ? at + found->second : word.size() + 1;
    }
    if (at == word.size()) return;
    tokens.resize(first);
    tokens.push_back({unknown, 0});
  }

  Vocabulary pieces;
  BertTextOptions text;
  std::vector<std::string_view> spelling;  // by id, into the vocabulary's keys
  std::size_t longest_piece = 0;           // bytes
  AddedVocabulary added;
  PromptFrame frame;
  std::int64_t unknown = 0;
};

BertTokenizer::BertTokenizer(std::shared_ptr<const Impl> impl)
    : FramedTokenizer(impl->frame), impl_(std::move(impl)) {}

BertTokenizer BertTokenizer::from_folder(const fs::path& folder) {
  try {
    json tokenizer;
    Vocabulary pieces;
    if (fs::exists(folder / "tokenizer.json")) {
      tokenizer = read_json_file(folder / "tokenizer.json", kVocabularyJson);
      if (!tokenizer.is_object()) refuse_tokenizer("tokenizer.json", "expected an object");
      pieces = read_tokenizer_json(tokenizer);
    } else if (fs::exists(folder / "vocab.txt")) {
      pieces = read_vocab_txt(folder / "vocab.txt");
    } else {
      refuse_tokenizer(folder.string(), "has neither tokenizer.json nor vocab.txt",
                       "put BERT's vocab.txt (bert-base-uncased, 30,522 lines) there");
    }
    const json config = read_tokenizer_config(folder);
    const std::map<std::string, std::string> defaults = {{"unk_token", "[UNK]"},
                                                         {"sep_token", "[SEP]"},
                                                         {"pad_token", "[PAD]"},
                                                         {"cls_token", "[CLS]"},
                                                         {"mask_token", "[MASK]"}};
    const SpecialTokens tokens(folder, defaults, config,
                               tokenizer.is_null() ? nullptr : &tokenizer);
    return BertTokenizer(std::make_shared<const Impl>(std::move(pieces), tokens, config));
  } catch (Error& error) {
    error.with_context(cat("reading tokenizer ", folder.string()));
    throw;
  }
}

const AddedTokenSplitter& BertTokenizer::raw_tokens() const { return impl_->added.raw(); }

void BertTokenizer::scan_text(std::string_view text, std::size_t offset,
                              std::vector<PlacedToken>& tokens) const {
  impl_->scan_text(text, offset, tokens);
}

std::string_view BertTokenizer::piece(std::int64_t id) const {
  if (const std::string* added = impl_->added.content(id)) return *added;
  if (id < 0 || static_cast<std::size_t>(id) >= impl_->spelling.size()) return {};
  return impl_->spelling[static_cast<std::size_t>(id)];
}

std::int64_t BertTokenizer::vocab_size() const { return impl_->added.limit(); }

}  // namespace ldm
