#include "ldm/text/clip_files.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = std::size_t{32} << 20U;
constexpr JsonLimits kBigJson{kMostBytes, 64};
constexpr std::int64_t kMostLength = 4096;
constexpr std::int64_t kMostId = (std::int64_t{1} << 22) - 1;
constexpr const char* kCopyHint = "copy the tokenizer folder again from the model's source";
constexpr const char* kPipelineHint =
    "this is not a CLIP tokenizer; use a model whose tokenizer_class is CLIPTokenizer";

// In the order in which transformers adds them.
constexpr std::array<const char*, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr std::array<const char*, 2> kExtraTokens = {"extra_special_tokens",
                                                     "additional_special_tokens"};

// A member of an object, or null.
const json& member(const json& object, const char* key) {
  static const json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

[[noreturn]] void refuse(const std::string& where, const std::string& what,
                         const char* hint = kCopyHint) {
  throw Error::model(cat(where, ": ", what), hint);
}

// ---- special and added tokens ----

bool flag(const json& object, const char* key, bool fallback, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_boolean()) refuse(cat(where, "/", key), "expected true or false");
  return found->get<bool>();
}

// A token spelled as a string or as an object of AddedToken's fields. A special token is looked for
// in the raw text unless it says otherwise.
AddedToken parse_token(const json& value, bool special, const std::string& where) {
  AddedToken token;
  token.normalized = !special;
  const json* content = &value;
  if (value.is_object()) {
    const auto found = value.find("content");
    if (found == value.end()) refuse(where, "a token without \"content\"");
    content = &*found;
    token.normalized = flag(value, "normalized", !special, where);
    token.single_word = flag(value, "single_word", false, where);
    token.lstrip = flag(value, "lstrip", false, where);
    token.rstrip = flag(value, "rstrip", false, where);
  }
  if (!content->is_string() || content->get_ref<const std::string&>().empty()) {
    refuse(where, "expected a token: a string that is not empty");
  }
  token.content = content->get<std::string>();
  return token;
}

struct SpecialTokens {
  std::map<std::string, std::optional<AddedToken>> named;
  std::vector<AddedToken> extra;
  std::map<std::int64_t, AddedToken> by_id;

  bool has(const std::string& content) const {
    return std::any_of(by_id.begin(), by_id.end(),
                       [&](const auto& entry) { return entry.second.content == content; });
  }
};

void read_named_tokens(const json& object, bool object_is_special, const std::string& file,
                       SpecialTokens& out) {
  for (const char* key : kNamedTokens) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    std::optional<AddedToken>& slot = out.named[key];
    slot.reset();
    if (found->is_null()) continue;
    slot = parse_token(*found, found->is_string() || object_is_special, cat(file, ": /", key));
  }
  for (const char* key : kExtraTokens) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) continue;
    for (std::size_t i = 0; i < found->size(); ++i) {
      out.extra.push_back(parse_token((*found)[i], true, cat(file, ": /", key, "/", i)));
    }
  }
}

void read_added_tokens_decoder(const json& object, const std::string& file, SpecialTokens& out) {
  const std::string where = cat(file, ": /added_tokens_decoder");
  if (!object.is_object()) refuse(where, "expected an object");
  for (const auto& [key, value] : object.items()) {
    const bool is_number =
        !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) refuse(cat(where, "/", key), "expected a token id as key");
    const std::string place = cat(where, "/", key);
    const bool special = value.is_object() && flag(value, "special", false, place);
    out.by_id.insert_or_assign(std::stoll(key), parse_token(value, special, place));
  }
}

void read_added_tokens_file(const fs::path& path, SpecialTokens& out) {
  const std::string file = path.filename().string();
  const json object = read_json_file(path);
  if (!object.is_object()) refuse(file, "expected an object of tokens and ids");
  for (const auto& [content, id] : object.items()) {
    if (!id.is_number_unsigned() || content.empty()) {
      refuse(cat(file, ": \"", content, "\""), "expected an id, 0 or more");
    }
    AddedToken token;
    token.content = content;
    const auto same = [&, text = content](const AddedToken& other) {
      return other.content == text;
    };
    token.normalized =
        std::none_of(out.named.begin(), out.named.end(),
                     [&](const auto& named) { return named.second && same(*named.second); }) &&
        std::none_of(out.extra.begin(), out.extra.end(), same);
    out.by_id.insert_or_assign(id.get<std::int64_t>(), std::move(token));
  }
}

void read_tokenizer_json_tokens(const json& tokenizer, SpecialTokens& out) {
  const auto found = tokenizer.find("added_tokens");
  if (found == tokenizer.end() || found->is_null()) return;
  if (!found->is_array()) refuse("tokenizer.json: /added_tokens", "expected a list");
  for (std::size_t i = 0; i < found->size(); ++i) {
    const json& value = (*found)[i];
    const std::string where = cat("tokenizer.json: /added_tokens/", i);
    const auto id = value.is_object() ? value.find("id") : value.end();
    if (!value.is_object() || id == value.end() || !id->is_number_unsigned()) {
      refuse(where, "expected a token with an \"id\", 0 or more");
    }
    const bool special = flag(value, "special", false, where);
    out.by_id.insert_or_assign(id->get<std::int64_t>(), parse_token(value, special, where));
  }
}

// transformers writes int(1e30) for "no limit", an integer that strict JSON reading refuses.
json read_config(const fs::path& path) {
  constexpr std::string_view kNoLimit = "1000000000000000019884624838656";
  std::string text = read_small_file(path, JsonLimits{}.max_bytes);
  if (const std::size_t at = text.find(kNoLimit); at != std::string::npos) {
    text.replace(at, kNoLimit.size(), "1e30");
  }
  json config = parse_json(text, JsonLimits{}, path.filename().string());
  if (!config.is_object()) refuse(path.filename().string(), "expected an object");
  return config;
}

void read_config_fields(const json& config, ClipFiles& out) {
  for (const char* side : {"padding_side", "truncation_side"}) {
    const auto found = config.find(side);
    if (found != config.end() && !found->is_null() && *found != "right") {
      refuse(cat("tokenizer_config.json: /", side), "only \"right\" is supported", kPipelineHint);
    }
  }
  const auto length = config.find("model_max_length");
  if (length == config.end() || length->is_null()) return;
  const std::string where = "tokenizer_config.json: /model_max_length";
  if (!length->is_number()) refuse(where, "expected a number");
  if (length->get<double>() > 1e9) return;  // "no limit": CLIP's own stays
  if (!length->is_number_integer() || length->get<std::int64_t>() < 3 ||
      length->get<std::int64_t>() > kMostLength) {
    refuse(where, cat("expected 3 to ", kMostLength, ", found ", length->dump()));
  }
  out.max_length = length->get<std::size_t>();
}

std::string content_of(const SpecialTokens& tokens, const char* name) {
  const std::optional<AddedToken>& token = tokens.named.at(name);
  if (!token) {
    refuse("tokenizer_config.json", cat(name, " is null: CLIP prompts need one"));
  }
  return token->content;
}

void resolve_tokens(const SpecialTokens& tokens, ClipFiles& out) {
  for (const auto& [id, token] : tokens.by_id) out.added.push_back(token);
  for (const char* name : kNamedTokens) {
    const auto found = tokens.named.find(name);
    if (found == tokens.named.end() || !found->second) continue;
    if (!tokens.has(found->second->content)) out.added.push_back(*found->second);
  }
  for (const AddedToken& token : tokens.extra) {
    if (!tokens.has(token.content)) out.added.push_back(token);
  }
  out.bos = content_of(tokens, "bos_token");
  out.eos = content_of(tokens, "eos_token");
  out.unk = content_of(tokens, "unk_token");
  out.pad = content_of(tokens, "pad_token");
}

void read_special_tokens(const fs::path& folder, const json* tokenizer, ClipFiles& out) {
  SpecialTokens tokens;
  read_named_tokens({{"bos_token", out.bos},
                     {"eos_token", out.eos},
                     {"unk_token", out.unk},
                     {"pad_token", out.pad}},
                    true, "defaults", tokens);
  json config = json::object();
  if (const fs::path file = folder / "tokenizer_config.json"; fs::exists(file)) {
    config = read_config(file);
    read_named_tokens(config, false, "tokenizer_config.json", tokens);
    read_config_fields(config, out);
  }
  if (config.contains("added_tokens_decoder")) {
    read_added_tokens_decoder(config["added_tokens_decoder"], "tokenizer_config.json", tokens);
  } else {
    if (const fs::path file = folder / "special_tokens_map.json"; fs::exists(file)) {
      const json map = read_json_file(file);
      if (!map.is_object()) refuse("special_tokens_map.json", "expected an object");
      read_named_tokens(map, true, "special_tokens_map.json", tokens);
    }
    if (const fs::path file = folder / "added_tokens.json"; fs::exists(file)) {
      read_added_tokens_file(file, tokens);
    }
    if (tokenizer != nullptr) read_tokenizer_json_tokens(*tokenizer, tokens);
  }
  resolve_tokens(tokens, out);
}

// ---- vocabulary and merges ----

Vocabulary parse_vocabulary(const json& object, const std::string& where) {
  if (!object.is_object()) refuse(where, "expected an object of pieces and ids");
  Vocabulary vocabulary;
  vocabulary.reserve(object.size());
  for (const auto& [piece, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMostId) {
      refuse(cat(where, ": \"", piece, "\""),
             cat("expected an id of 0 to ", kMostId, ", found ", id.dump().substr(0, 40)));
    }
    vocabulary.emplace(piece, id.get<std::int64_t>());
  }
  return vocabulary;
}

std::vector<MergeRule> parse_merge_list(const json& list, const std::string& where) {
  if (!list.is_array()) refuse(where, "expected a list of pairs");
  std::vector<MergeRule> rules;
  rules.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& rule = list[i];
    if (rule.is_array() && rule.size() == 2 && rule[0].is_string() && rule[1].is_string()) {
      rules.push_back({rule[0].get<std::string>(), rule[1].get<std::string>(), i});
      continue;
    }
    const std::string text = rule.is_string() ? rule.get<std::string>() : "";
    const std::size_t blank = text.find(' ');
    if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos) {
      refuse(cat(where, "/", i), "expected a pair of pieces");
    }
    rules.push_back({text.substr(0, blank), text.substr(blank + 1), i});
  }
  return rules;
}

// The "type" of an object and of its stages, as "Sequence(NFC Replace Lowercase)".
std::string stage_types(const json& tokenizer, const char* part, const char* stages) {
  const auto found = tokenizer.find(part);
  if (found == tokenizer.end() || !found->is_object()) return "nothing";
  const std::string type = member(*found, "type").dump();
  std::string list;
  for (const json& stage : member(*found, stages)) {
    if (!list.empty()) list += ' ';
    list += stage.is_object() ? member(stage, "type").dump() : "?";
  }
  std::string joined = list.empty() ? type : cat(type, "(", list, ")");
  std::erase(joined, '"');
  return joined;
}

// The expressions themselves are not compared: transformers, too, puts CLIP's own in their place.
void check_pipeline(const json& tokenizer) {
  const auto expect = [](const char* part, const std::string& found, const char* expected) {
    if (found != expected) {
      refuse(cat("tokenizer.json: /", part), cat("expected ", expected, ", found ", found),
             kPipelineHint);
    }
  };
  expect("normalizer", stage_types(tokenizer, "normalizer", "normalizers"),
         "Sequence(NFC Replace Lowercase)");
  expect("pre_tokenizer", stage_types(tokenizer, "pre_tokenizer", "pretokenizers"),
         "Sequence(Split ByteLevel)");
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object()) {
    refuse("tokenizer.json: /model", "expected an object", kPipelineHint);
  }
  expect("model/type", model->value("type", json("BPE")).dump(), "\"BPE\"");
  expect("model/end_of_word_suffix", member(*model, "end_of_word_suffix").dump(), "\"</w>\"");
}

}  // namespace

ClipFiles read_clip_files(const fs::path& folder) {
  ClipFiles out;
  const auto there = [&](const char* name) { return fs::exists(folder / name); };
  if (there("tokenizer.json")) {
    const json tokenizer = read_json_file(folder / "tokenizer.json", kBigJson);
    if (!tokenizer.is_object()) refuse("tokenizer.json", "expected an object");
    check_pipeline(tokenizer);
    const json& model = tokenizer["model"];
    out.merges_source = "tokenizer.json: /model/merges";
    out.vocabulary = parse_vocabulary(member(model, "vocab"), "tokenizer.json: /model/vocab");
    out.merges = parse_merge_list(member(model, "merges"), out.merges_source);
    read_special_tokens(folder, &tokenizer, out);
    return out;
  }
  if (!there("vocab.json") || !there("merges.txt")) {
    const char* missing = there("vocab.json") ? "merges.txt" : "vocab.json";
    refuse(folder.string(), cat("has neither tokenizer.json nor ", missing),
           "name a folder with vocab.json and merges.txt, or with tokenizer.json");
  }
  out.merges_source = "merges.txt";
  out.vocabulary = parse_vocabulary(read_json_file(folder / "vocab.json", kBigJson), "vocab.json");
  out.merges = parse_merges(read_small_file(folder / "merges.txt", kMostBytes), out.merges_source);
  read_special_tokens(folder, nullptr, out);
  return out;
}

}  // namespace ldm
