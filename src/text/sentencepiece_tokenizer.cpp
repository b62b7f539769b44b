#include "ldm/text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/added_tokens.h"
#include "ldm/text/sentencepiece_files.h"
#include "ldm/text/sentencepiece_model.h"
#include "ldm/text/sentencepiece_text.h"
#include "ldm/text/tokenizer_files.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using Kind = SentencePieceClass;

constexpr std::size_t kDiffusionLength = 77;
constexpr std::int64_t kMostExtraIds = 10'000;
// fairseq puts <s> <pad> </s> <unk> where the model files of XLM-R have <unk> <s> </s>.
constexpr std::int64_t kFairseqOffset = 1;
constexpr std::int64_t kFairseqUnknown = 3;
constexpr std::int64_t kFairseqSpecials = 4;

std::map<std::string, std::string> default_tokens(Kind kind) {
  switch (kind) {
    case Kind::kXLMRoberta:
      return {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "</s>"},
              {"cls_token", "<s>"},    {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
              {"mask_token", "<mask>"}};
    case Kind::kT5:
      return {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
    case Kind::kAlbert:
      return {{"bos_token", "[CLS]"},  {"eos_token", "[SEP]"}, {"sep_token", "[SEP]"},
              {"cls_token", "[CLS]"},  {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
              {"mask_token", "[MASK]"}};
  }
  return {};
}

std::int64_t read_extra_ids(const json& config) {
  const json& value = json_member(config, "extra_ids");
  if (value.is_null()) return 100;
  if (!value.is_number_integer() || value < 0 || value > kMostExtraIds) {
    refuse_tokenizer("tokenizer_config.json: /extra_ids", cat("expected 0 to ", kMostExtraIds));
  }
  return value.get<std::int64_t>();
}

}  // namespace

struct SentencePieceTokenizer::Impl {
  Impl(const SentencePieceFiles& files, Kind its_kind, const SpecialTokens& tokens,
       const json& config, std::optional<bool> do_lower_case)
      : model(files.proto, files.source), kind(its_kind) {
    fairseq = kind == Kind::kXLMRoberta && files.tokenizer.is_null();
    if (fairseq) name_fairseq_specials(tokens, files.source);
    if (kind == Kind::kT5 && files.tokenizer.is_null()) extra_ids = read_extra_ids(config);
    text = read_text_options(config, do_lower_case);

    const std::vector<AddedToken> list = all_added(files.proto, tokens);
    added.emplace(
        list, base_size(), base_size(), [this](const std::string& piece) { return find(piece); },
        [](const std::string& token) { return token; });
    set_frame(tokens, config);
  }

  std::vector<AddedToken> all_added(const SentencePieceProto& proto, const SpecialTokens& tokens) {
    std::vector<AddedToken> list = tokens.in_order();
    for (std::int64_t i = 0; i < extra_ids; ++i) {
      list.push_back({cat("<extra_id_", i, ">")});
      extra_tokens.emplace(list.back().content, i);
    }
    for (const SentencePieceProto::Piece& piece : proto.pieces) {
      if (piece.type == SentencePieceProto::Type::kControl && !fairseq) {
        list.push_back({piece.text});
      }
    }
    for (AddedToken& token : list) token.normalized = false;
    return list;
  }

  // The ids of the model file's own pieces 0 to 2 are given to the named tokens.
  void name_fairseq_specials(const SpecialTokens& tokens, const std::string& file) {
    const auto unknown = model.find("<unk>");
    if (model.size() < 3 || !unknown || *unknown != 0) {
      refuse_tokenizer(file, "its first pieces are not <unk> <s> </s>: not an XLM-R model");
    }
    specials = {tokens.content("bos_token"), tokens.content("pad_token"),
                tokens.content("eos_token"), tokens.content("unk_token")};
    mask = tokens.find("mask_token").value_or("<mask>");
  }

  SentencePieceTextOptions read_text_options(const json& config,
                                             std::optional<bool> do_lower_case) const {
    const std::string where = "tokenizer_config.json: ";
    SentencePieceTextOptions out;
    const bool lower = read_flag(config, "do_lower_case", kind == Kind::kAlbert, where);
    if (kind != Kind::kXLMRoberta) out.do_lower_case = do_lower_case.value_or(lower);
    out.albert = kind == Kind::kAlbert;
    out.keep_accents = read_flag(config, "keep_accents", false, where);
    return out;
  }

  void set_frame(const SpecialTokens& tokens, const json& config) {
    frame.max_length = read_max_length(config, kDiffusionLength);
    frame.pad = added->id(tokens.content("pad_token"));
    if (kind == Kind::kXLMRoberta) {
      frame.bos = added->id(tokens.content("bos_token"));
      frame.eos = added->id(tokens.content("eos_token"));
      return;
    }
    frame.max_length = std::min(frame.max_length, kDiffusionLength);
    const bool is_t5 = kind == Kind::kT5;
    frame.bos = is_t5 ? -1 : added->id(tokens.content("cls_token"));
    frame.eos = added->id(tokens.content(is_t5 ? "eos_token" : "sep_token"));
  }

  // Pieces and what the class puts behind them.
  std::int64_t base_size() const {
    return model.size() + extra_ids + (fairseq ? kFairseqOffset + 1 : 0);
  }

  std::int64_t to_id(std::int64_t piece) const {
    if (!fairseq) return piece;
    return piece == 0 ? kFairseqUnknown : piece + kFairseqOffset;
  }

  std::optional<std::int64_t> find(const std::string& piece) const {
    if (fairseq) {
      const auto special = std::find(specials.begin(), specials.end(), piece);
      if (special != specials.end()) return special - specials.begin();
      if (piece == mask) return base_size() - 1;
    }
    if (const auto id = model.find(piece)) return to_id(*id);
    const auto extra = extra_tokens.find(piece);
    if (extra == extra_tokens.end()) return std::nullopt;
    return base_size() - 1 - extra->second;
  }

  std::string_view piece(std::int64_t id) const {
    if (const std::string* name = added->content(id)) return *name;
    if (!fairseq) return model.piece(id);
    return id < kFairseqSpecials ? std::string_view() : model.piece(id - kFairseqOffset);
  }

  void scan_text(std::string_view prompt, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const {
    const NormalizedText clean = prepare_for_sentencepiece(prompt, text);
    for (const SentencePieceModel::Token& token : model.encode(clean.text)) {
      std::size_t begin =
          token.begin < clean.source.size() ? clean.source[token.begin] : prompt.size();
      while (begin < prompt.size()) {  // a piece that starts a word takes the white space before it
        std::size_t behind = begin;
        if (char_class(next_code_point(prompt, behind)) != CharClass::kSpace) break;
        begin = behind;
      }
      tokens.push_back({to_id(token.id), offset + begin});
    }
  }

  SentencePieceModel model;
  Kind kind;
  bool fairseq = false;
  std::vector<std::string> specials;  // by fairseq's id
  std::string mask;
  std::int64_t extra_ids = 0;
  std::map<std::string, std::int64_t> extra_tokens;
  SentencePieceTextOptions text;
  std::optional<AddedVocabulary> added;
  PromptFrame frame;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::shared_ptr<const Impl> impl)
    : FramedTokenizer(impl->frame), impl_(std::move(impl)) {}

SentencePieceTokenizer SentencePieceTokenizer::from_folder(const fs::path& folder,
                                                           SentencePieceClass kind,
                                                           std::optional<bool> do_lower_case) {
  try {
    const SentencePieceFiles files = read_sentencepiece_files(folder);
    const json config = read_tokenizer_config(folder);
    const json* tokenizer = files.tokenizer.is_null() ? nullptr : &files.tokenizer;
    const SpecialTokens tokens(folder, default_tokens(kind), config, tokenizer);
    return SentencePieceTokenizer(
        std::make_shared<const Impl>(files, kind, tokens, config, do_lower_case));
  } catch (Error& error) {
    error.with_context(cat("reading tokenizer ", folder.string()));
    throw;
  }
}

const AddedTokenSplitter& SentencePieceTokenizer::raw_tokens() const { return impl_->added->raw(); }

void SentencePieceTokenizer::scan_text(std::string_view text, std::size_t offset,
                                       std::vector<PlacedToken>& tokens) const {
  impl_->scan_text(text, offset, tokens);
}

std::string_view SentencePieceTokenizer::piece(std::int64_t id) const { return impl_->piece(id); }

std::int64_t SentencePieceTokenizer::vocab_size() const { return impl_->added->limit(); }

}  // namespace ldm
