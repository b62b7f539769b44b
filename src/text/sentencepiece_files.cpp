#include "ldm/text/sentencepiece_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/text/tokenizer_files.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = std::size_t{64} << 20U;
constexpr std::array<const char*, 3> kModelFiles = {"sentencepiece.bpe.model", "spiece.model",
                                                    "tokenizer.model"};
constexpr const char* kFileHint =
    "put the model's sentencepiece.bpe.model (XLM-R) or spiece.model (T5) into the folder";

fs::path find_model(const fs::path& folder) {
  for (const char* name : kModelFiles) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return {};
}

std::string decode_base64(const std::string& text, const std::string& where) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  unsigned count = 0;
  const std::size_t end = std::min(text.find('='), text.size());
  for (std::size_t i = 0; i < end; ++i) {
    const std::size_t digit = kAlphabet.find(text[i]);
    if (digit == std::string_view::npos) refuse_tokenizer(where, "not base64");
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFFU);
    }
  }
  return out;
}

// The character map among a normaliser's stages; the others (white space, Albert's accents) are
// what the classes do by themselves.
std::string read_charsmap(const json& normalizer) {
  if (!normalizer.is_object()) return {};
  if (json_member(normalizer, "type") == "Precompiled") {
    const json& map = json_member(normalizer, "precompiled_charsmap");
    const std::string where = "tokenizer.json: /normalizer/precompiled_charsmap";
    if (!map.is_string()) refuse_tokenizer(where, "expected base64");
    return decode_base64(map.get_ref<const std::string&>(), where);
  }
  for (const json& stage : json_member(normalizer, "normalizers")) {
    if (stage.is_object() && json_member(stage, "type") == "Precompiled") {
      return read_charsmap(stage);
    }
  }
  return {};
}

std::set<std::string> special_contents(const json& tokenizer) {
  std::set<std::string> out;
  for (const json& token : json_member(tokenizer, "added_tokens")) {
    if (token.is_object() && json_member(token, "special") == true &&
        json_member(token, "content").is_string()) {
      out.insert(token["content"].get<std::string>());
    }
  }
  return out;
}

SentencePieceProto read_unigram(const json& tokenizer) {
  using Type = SentencePieceProto::Type;
  const json& model = json_member(tokenizer, "model");
  if (!model.is_object() || json_member(model, "type") != "Unigram") {
    refuse_tokenizer("tokenizer.json: /model/type",
                     "expected \"Unigram\", and there is no SentencePiece model file", kFileHint);
  }
  const std::string where = "tokenizer.json: /model/vocab";
  const json& vocab = json_member(model, "vocab");
  const json& unknown = json_member(model, "unk_id");
  if (!vocab.is_array() || !unknown.is_number_unsigned()) {
    refuse_tokenizer(where, "expected a list of pieces, and an unk_id");
  }
  if (json_member(model, "byte_fallback") == true) {
    refuse_tokenizer("tokenizer.json: /model/byte_fallback", "is not supported from this file",
                     kFileHint);
  }
  const std::set<std::string> special = special_contents(tokenizer);
  SentencePieceProto proto =
      make_unigram_proto(read_charsmap(json_member(tokenizer, "normalizer")));
  proto.pieces.reserve(vocab.size());
  for (std::size_t id = 0; id < vocab.size(); ++id) {
    const json& entry = vocab[id];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      refuse_tokenizer(cat(where, "/", id), "expected a piece and its score");
    }
    SentencePieceProto::Piece piece{entry[0].get<std::string>(), entry[1].get<float>()};
    if (special.count(piece.text) != 0) piece.type = Type::kControl;
    if (unknown == id) piece.type = Type::kUnknown;
    proto.pieces.push_back(std::move(piece));
  }
  check_sentencepiece(proto, "tokenizer.json");
  return proto;
}

}  // namespace

bool has_sentencepiece_model(const fs::path& folder) { return !find_model(folder).empty(); }

SentencePieceFiles read_sentencepiece_files(const fs::path& folder) {
  SentencePieceFiles out;
  if (const fs::path file = find_model(folder); !file.empty()) {
    out.source = file.filename().string();
    out.proto = parse_sentencepiece(read_small_file(file, kMostBytes), out.source);
    return out;
  }
  if (!fs::exists(folder / "tokenizer.json")) {
    refuse_tokenizer(folder.string(), "has no SentencePiece model and no tokenizer.json",
                     kFileHint);
  }
  out.source = "tokenizer.json";
  out.tokenizer = read_json_file(folder / "tokenizer.json", kVocabularyJson);
  if (!out.tokenizer.is_object()) refuse_tokenizer("tokenizer.json", "expected an object");
  out.proto = read_unigram(out.tokenizer);
  return out;
}

}  // namespace ldm
