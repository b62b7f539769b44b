#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/key_map.h"
#include "ldm/loading/data_files.h"
#include "ldm/loading/original_configs.h"
#include "ldm/loading/single_file.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

/// How each kind is told from the others, by the first name that is there.
struct ConditionRow {
  ConditionKind kind;
  std::string_view prefix;
  std::string_view telling;  ///< a block that only this kind has below the prefix
  const char* class_name;
  const char* folder;
};

constexpr std::array<ConditionRow, 5> kConditions = {{
    {ConditionKind::kClip, "cond_stage_model.transformer.", "text_model", "CLIPTextModel",
     "text_encoder"},
    {ConditionKind::kClip, "cond_stage_model.transformer.", "embeddings", "CLIPTextModel",
     "text_encoder"},
    {ConditionKind::kOpenClip, "cond_stage_model.model.", "transformer.resblocks", "CLIPTextModel",
     "text_encoder"},
    {ConditionKind::kBert, "cond_stage_model.transformer.", "attn_layers", "LDMBertModel", "bert"},
    {ConditionKind::kClass, "cond_stage_model.", "embedding.weight", "ClassEmbedder",
     "class_embedder"},
}};

constexpr std::size_t kVitHLayers = 24;

void leave_out_dropped(LayoutKeys& keys) {
  std::erase_if(keys, [](const auto& item) { return find_dropped(item.second) != nullptr; });
}

/// Older transformers' and today's names of the same tensors become the published ones.
LayoutKeys published_clip_names(const LayoutKeys& keys) {
  LayoutKeys renamed;
  for (const auto& [key, name] : keys) {
    renamed.emplace(key_map("CLIPTextModel").rename(key).value_or(key), name);
  }
  return renamed;
}

/// Stable Diffusion 2 reads the layer before the last; diffusers' folders do not even hold the
/// last. Whether the file still has it: 24 layers are ViT-H's, and files written from a diffusers
/// folder also lack the pooled output's parameters.
std::size_t used_open_clip_layers(const TensorSource& source, LayoutKeys& keys,
                                  std::vector<std::string>& dropped) {
  const std::size_t layers = count_blocks(keys, "transformer.resblocks");
  const bool whole = layers == kVitHLayers ||
                     source.find("cond_stage_model.model.text_projection") != nullptr ||
                     source.find("cond_stage_model.model.logit_scale") != nullptr;
  if (!whole || layers < 2) return layers;
  const std::string last = cat("transformer.resblocks.", layers - 1, '.');
  for (auto at = keys.lower_bound(last); at != keys.end() && at->first.starts_with(last);) {
    dropped.push_back(cat(at->second, ": the last layer, which the UNet never sees"));
    at = keys.erase(at);
  }
  return layers - 1;
}

std::string tokenizer_beside(const fs::path& file) {
  std::error_code error;
  for (const fs::path& folder : {file.parent_path() / "tokenizer", file.parent_path()}) {
    for (const char* name : {"vocab.json", "vocab.txt", "tokenizer.json"}) {
      if (fs::exists(folder / name, error)) return folder.empty() ? "." : folder.string();
    }
  }
  return {};
}

}  // namespace

OriginalCondition find_condition(const TensorSource& source, std::vector<std::string>& dropped) {
  OriginalCondition found;
  for (const ConditionRow& row : kConditions) {
    found.keys = keys_below(source, row.prefix);
    if (!has_block(found.keys, row.telling)) continue;
    found.kind = row.kind;
    found.class_name = row.class_name;
    found.folder = row.folder;
    break;
  }
  leave_out_dropped(found.keys);
  switch (found.kind) {
    case ConditionKind::kNone:
      found.keys.clear();
      break;
    case ConditionKind::kClip:
      found.keys = published_clip_names(found.keys);
      found.blocks = clip_blocks();
      break;
    case ConditionKind::kOpenClip:
      found.blocks = open_clip_blocks(used_open_clip_layers(source, found.keys, dropped));
      break;
    case ConditionKind::kBert:
      found.blocks = bert_blocks(count_blocks(found.keys, "attn_layers.layers") / 2);
      break;
    case ConditionKind::kClass:
      found.blocks = class_embedder_blocks();
      break;
  }
  return found;
}

nlohmann::json condition_config(const OriginalCondition& condition, nlohmann::json config,
                                const TensorSource& tensors, std::vector<std::string>& evidence) {
  switch (condition.kind) {
    case ConditionKind::kClip:
    case ConditionKind::kOpenClip:
      infer_clip_config(config, tensors, evidence);
      break;
    case ConditionKind::kBert:
      infer_bert_config(config, tensors, evidence);
      break;
    case ConditionKind::kClass:
      infer_class_config(config, tensors, evidence);
      break;
    case ConditionKind::kNone:
      break;
  }
  return config;
}

fs::path find_tokenizer(const fs::path& file, ConditionKind kind, const nlohmann::json& config) {
  if (kind == ConditionKind::kNone || kind == ConditionKind::kClass) return {};
  const bool bert = kind == ConditionKind::kBert;
  const char* shipped = bert                               ? "weights/tokenizers/bert"
                        : kind == ConditionKind::kOpenClip ? "weights/tokenizers/clip-sd2"
                                                           : "weights/tokenizers/clip";
  const std::int64_t published = bert ? 30522 : 49408;
  const std::int64_t tokens = config.at("vocab_size").get<std::int64_t>();
  if (tokens == published) {
    if (const fs::path folder = find_data(shipped); !folder.empty()) return folder;
  }
  if (std::string folder = tokenizer_beside(file); !folder.empty()) return folder;
  throw Error::model(
      cat(file.string(), ": no tokenizer for its ", tokens, " tokens"),
      cat("put ", bert ? "vocab.txt" : "vocab.json and merges.txt",
          " beside the file, or into a folder ", (file.parent_path() / "tokenizer").string()));
}

}  // namespace ldm
