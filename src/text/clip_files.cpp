#include "ldm/text/clip_files.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/text/tokenizer_files.h"

namespace ldm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = std::size_t{32} << 20U;
constexpr JsonLimits kBigJson{kMostBytes, 64};
constexpr const char* kPipelineHint =
    "this is not a CLIP tokenizer; use a model whose tokenizer_class is CLIPTokenizer";

std::vector<MergeRule> parse_merge_list(const json& list, const std::string& where) {
  if (!list.is_array()) refuse_tokenizer(where, "expected a list of pairs");
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
      refuse_tokenizer(cat(where, "/", i), "expected a pair of pieces");
    }
    rules.push_back({text.substr(0, blank), text.substr(blank + 1), i});
  }
  return rules;
}

// The "type" of an object and of its stages, as "Sequence(NFC Replace Lowercase)".
std::string stage_types(const json& tokenizer, const char* part, const char* stages) {
  const auto found = tokenizer.find(part);
  if (found == tokenizer.end() || !found->is_object()) return "nothing";
  const std::string type = json_member(*found, "type").dump();
  std::string list;
  for (const json& stage : json_member(*found, stages)) {
    if (!list.empty()) list += ' ';
    list += stage.is_object() ? json_member(stage, "type").dump() : "?";
  }
  std::string joined = list.empty() ? type : cat(type, "(", list, ")");
  std::erase(joined, '"');
  return joined;
}

// The expressions themselves are not compared: transformers, too, puts CLIP's own in their place.
void check_pipeline(const json& tokenizer) {
  const auto expect = [](const char* part, const std::string& found, const char* expected) {
    if (found != expected) {
      refuse_tokenizer(cat("tokenizer.json: /", part),
                       cat("expected ", expected, ", found ", found), kPipelineHint);
    }
  };
  expect("normalizer", stage_types(tokenizer, "normalizer", "normalizers"),
         "Sequence(NFC Replace Lowercase)");
  expect("pre_tokenizer", stage_types(tokenizer, "pre_tokenizer", "pretokenizers"),
         "Sequence(Split ByteLevel)");
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object()) {
    refuse_tokenizer("tokenizer.json: /model", "expected an object", kPipelineHint);
  }
  expect("model/type", model->value("type", json("BPE")).dump(), "\"BPE\"");
  expect("model/end_of_word_suffix", json_member(*model, "end_of_word_suffix").dump(), "\"</w>\"");
}

void read_config(const fs::path& folder, const json* tokenizer, ClipFiles& out) {
  const json config = read_tokenizer_config(folder);
  const std::map<std::string, std::string> defaults = {{"bos_token", out.bos},
                                                       {"eos_token", out.eos},
                                                       {"unk_token", out.unk},
                                                       {"pad_token", out.pad}};
  const SpecialTokens tokens(folder, defaults, config, tokenizer);
  out.added = tokens.in_order();
  out.bos = tokens.content("bos_token");
  out.eos = tokens.content("eos_token");
  out.unk = tokens.content("unk_token");
  out.pad = tokens.content("pad_token");
  out.max_length = read_max_length(config, out.max_length);
}

}  // namespace

ClipFiles read_clip_files(const fs::path& folder) {
  ClipFiles out;
  const auto there = [&](const char* name) { return fs::exists(folder / name); };
  if (there("tokenizer.json")) {
    const json tokenizer = read_json_file(folder / "tokenizer.json", kBigJson);
    if (!tokenizer.is_object()) refuse_tokenizer("tokenizer.json", "expected an object");
    check_pipeline(tokenizer);
    const json& model = tokenizer["model"];
    out.merges_source = "tokenizer.json: /model/merges";
    out.vocabulary = parse_vocabulary(json_member(model, "vocab"), "tokenizer.json: /model/vocab");
    out.merges = parse_merge_list(json_member(model, "merges"), out.merges_source);
    read_config(folder, &tokenizer, out);
    return out;
  }
  if (!there("vocab.json") || !there("merges.txt")) {
    const char* missing = there("vocab.json") ? "merges.txt" : "vocab.json";
    refuse_tokenizer(folder.string(), cat("has neither tokenizer.json nor ", missing),
                     "name a folder with vocab.json and merges.txt, or with tokenizer.json");
  }
  out.merges_source = "merges.txt";
  out.vocabulary = parse_vocabulary(read_json_file(folder / "vocab.json", kBigJson), "vocab.json");
  out.merges = parse_merges(read_small_file(folder / "merges.txt", kMostBytes), out.merges_source);
  read_config(folder, nullptr, out);
  return out;
}

}  // namespace ldm
