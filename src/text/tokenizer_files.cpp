#include "ldm/text/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::int64_t kMostLength = 4096;
constexpr std::int64_t kMostId = (std::int64_t{1} << 22) - 1;
constexpr const char* kConfigFile = "tokenizer_config.json";
constexpr const char* kMapFile = "special_tokens_map.json";

// In the order in which transformers adds them.
constexpr std::array<const char*, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr std::array<const char*, 2> kExtraTokens = {"extra_special_tokens",
                                                     "additional_special_tokens"};

// A token spelled as a string or as an object of AddedToken's fields. A special token is looked for
// in the raw text unless it says otherwise.
AddedToken parse_token(const json& value, bool special, const std::string& where) {
  AddedToken token;
  token.normalized = !special;
  const json* content = &value;
  if (value.is_object()) {
    const auto found = value.find("content");
    if (found == value.end()) refuse_tokenizer(where, "a token without \"content\"");
    content = &*found;
    token.normalized = read_flag(value, "normalized", !special, where);
    token.single_word = read_flag(value, "single_word", false, where);
    token.lstrip = read_flag(value, "lstrip", false, where);
    token.rstrip = read_flag(value, "rstrip", false, where);
  }
  if (!content->is_string() || content->get_ref<const std::string&>().empty()) {
    refuse_tokenizer(where, "expected a token: a string that is not empty");
  }
  token.content = content->get<std::string>();
  return token;
}

}  // namespace

void refuse_tokenizer(const std::string& where, const std::string& what, const char* hint) {
  constexpr const char* kCopyHint = "copy the tokenizer folder again from the model's source";
  throw Error::model(cat(where, ": ", what), hint == nullptr ? kCopyHint : hint);
}

const json& json_member(const json& object, const char* key) {
  static const json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool read_flag(const json& object, const char* key, bool fallback, const std::string& where) {
  const json& value = json_member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) refuse_tokenizer(cat(where, "/", key), "expected true or false");
  return value.get<bool>();
}

json read_tokenizer_config(const fs::path& folder) {
  const fs::path path = folder / kConfigFile;
  if (!fs::exists(path)) return json::object();
  // transformers writes int(1e30) for "no limit", an integer that strict JSON reading refuses.
  constexpr std::string_view kNoLimit = "1000000000000000019884624838656";
  std::string text = read_small_file(path, JsonLimits{}.max_bytes);
  if (const std::size_t at = text.find(kNoLimit); at != std::string::npos) {
    text.replace(at, kNoLimit.size(), "1e30");
  }
  json config = parse_json(text, JsonLimits{}, kConfigFile);
  if (!config.is_object()) refuse_tokenizer(kConfigFile, "expected an object");
  for (const char* side : {"padding_side", "truncation_side"}) {
    const json& value = json_member(config, side);
    if (!value.is_null() && value != "right") {
      refuse_tokenizer(cat(kConfigFile, ": /", side), "only \"right\" is supported");
    }
  }
  return config;
}

std::size_t read_max_length(const json& config, std::size_t fallback) {
  const json& length = json_member(config, "model_max_length");
  if (length.is_null()) return fallback;
  const std::string where = cat(kConfigFile, ": /model_max_length");
  if (!length.is_number()) refuse_tokenizer(where, "expected a number");
  if (length.get<double>() > 1e9) return fallback;
  if (!length.is_number_integer() || length.get<std::int64_t>() < 3 ||
      length.get<std::int64_t>() > kMostLength) {
    refuse_tokenizer(where, cat("expected 3 to ", kMostLength, ", found ", length.dump()));
  }
  return length.get<std::size_t>();
}

Vocabulary parse_vocabulary(const json& object, const std::string& where) {
  if (!object.is_object()) refuse_tokenizer(where, "expected an object of pieces and ids");
  Vocabulary vocabulary;
  vocabulary.reserve(object.size());
  for (const auto& [piece, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMostId) {
      refuse_tokenizer(cat(where, ": \"", piece, "\""), cat("expected an id of 0 to ", kMostId,
                                                            ", found ", id.dump().substr(0, 40)));
    }
    vocabulary.emplace(piece, id.get<std::int64_t>());
  }
  return vocabulary;
}

SpecialTokens::SpecialTokens(const fs::path& folder,
                             const std::map<std::string, std::string>& defaults, const json& config,
                             const json* tokenizer) {
  read_named(json(defaults), true, "defaults");
  read_named(config, false, kConfigFile);
  if (config.contains("added_tokens_decoder")) {
    read_decoder(config["added_tokens_decoder"]);
    return;
  }
  if (const fs::path file = folder / kMapFile; fs::exists(file)) {
    const json map = read_json_file(file);
    if (!map.is_object()) refuse_tokenizer(kMapFile, "expected an object");
    read_named(map, true, kMapFile);
  }
  if (const fs::path file = folder / "added_tokens.json"; fs::exists(file)) {
    read_added_tokens_file(file);
  }
  if (tokenizer != nullptr) read_tokenizer_json(*tokenizer);
}

std::optional<std::string> SpecialTokens::find(const std::string& name) const {
  const auto token = named_.find(name);
  if (token == named_.end() || !token->second) return std::nullopt;
  return token->second->content;
}

std::string SpecialTokens::content(const std::string& name) const {
  const auto found = find(name);
  if (!found) refuse_tokenizer(kConfigFile, cat(name, " is null: prompts need one"));
  return *found;
}

std::vector<AddedToken> SpecialTokens::in_order() const {
  std::vector<AddedToken> added;
  for (const auto& [id, token] : by_id_) added.push_back(token);
  for (const char* name : kNamedTokens) {
    const auto found = named_.find(name);
    if (found == named_.end() || !found->second) continue;
    if (!has(found->second->content)) added.push_back(*found->second);
  }
  for (const AddedToken& token : extra_) {
    if (!has(token.content)) added.push_back(token);
  }
  return added;
}

bool SpecialTokens::has(const std::string& content) const {
  return std::any_of(by_id_.begin(), by_id_.end(),
                     [&](const auto& entry) { return entry.second.content == content; });
}

void SpecialTokens::read_named(const json& object, bool object_is_special,
                               const std::string& file) {
  for (const char* key : kNamedTokens) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    std::optional<AddedToken>& slot = named_[key];
    slot.reset();
    if (found->is_null()) continue;
    slot = parse_token(*found, found->is_string() || object_is_special, cat(file, ": /", key));
  }
  for (const char* key : kExtraTokens) {
    const json& list = json_member(object, key);
    if (!list.is_array()) continue;
    for (std::size_t i = 0; i < list.size(); ++i) {
      extra_.push_back(parse_token(list[i], true, cat(file, ": /", key, "/", i)));
    }
  }
}

void SpecialTokens::read_decoder(const json& object) {
  const std::string where = cat(kConfigFile, ": /added_tokens_decoder");
  if (!object.is_object()) refuse_tokenizer(where, "expected an object");
  for (const auto& [key, value] : object.items()) {
    const bool is_number =
        !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) refuse_tokenizer(cat(where, "/", key), "expected a token id as key");
    const std::string place = cat(where, "/", key);
    const bool special = value.is_object() && read_flag(value, "special", false, place);
    by_id_.insert_or_assign(std::stoll(key), parse_token(value, special, place));
  }
}

void SpecialTokens::read_added_tokens_file(const fs::path& path) {
  const std::string file = path.filename().string();
  const json object = read_json_file(path);
  if (!object.is_object()) refuse_tokenizer(file, "expected an object of tokens and ids");
  for (const auto& [content, id] : object.items()) {
    if (!id.is_number_unsigned() || content.empty()) {
      refuse_tokenizer(cat(file, ": \"", content, "\""), "expected an id, 0 or more");
    }
    AddedToken token;
    token.content = content;
    const auto same = [&, text = content](const AddedToken& other) {
      return other.content == text;
    };
    token.normalized =
        std::none_of(named_.begin(), named_.end(),
                     [&](const auto& named) { return named.second && same(*named.second); }) &&
        std::none_of(extra_.begin(), extra_.end(), same);
    by_id_.insert_or_assign(id.get<std::int64_t>(), std::move(token));
  }
}

void SpecialTokens::read_tokenizer_json(const json& tokenizer) {
  const json& list = json_member(tokenizer, "added_tokens");
  if (list.is_null()) return;
  if (!list.is_array()) refuse_tokenizer("tokenizer.json: /added_tokens", "expected a list");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& value = list[i];
    const std::string where = cat("tokenizer.json: /added_tokens/", i);
    const auto id = value.is_object() ? value.find("id") : value.end();
    if (!value.is_object() || id == value.end() || !id->is_number_unsigned()) {
      refuse_tokenizer(where, "expected a token with an \"id\", 0 or more");
    }
    const bool special = read_flag(value, "special", false, where);
    by_id_.insert_or_assign(id->get<std::int64_t>(), parse_token(value, special, where));
  }
}

}  // namespace ldm
