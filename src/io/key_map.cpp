#include "ldm/io/key_map.h"

#include <algorithm>
#include <array>

#include "ldm/core/text.h"

namespace ldm {
namespace {

// transformers 5 writes a CLIP text model without the prefix that published files have.
constexpr std::array<std::string_view, 3> kBareClip = {"embeddings.", "encoder.",
                                                       "final_layer_norm."};
// A buffer of older transformers, and the other half of a whole CLIP.
constexpr std::array<std::string_view, 6> kIgnoredClip = {"text_model.embeddings.position_ids",
                                                          "embeddings.position_ids",
                                                          "text_projection.",
                                                          "visual_projection.",
                                                          "vision_model.",
                                                          "logit_scale"};

// The head of its training.
constexpr std::array<std::string_view, 1> kIgnoredLdmBert = {"to_logits."};

// What is pooled, and buffers of older transformers.
constexpr std::array<std::string_view, 4> kIgnoredRoberta = {
    "roberta.pooler.", "roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids",
    "logit_scale"};

// Autoencoders and unconditional UNets written before diffusers 0.15 name their attention as an
// older class did.
constexpr std::array<KeyRule, 4> kAttentionRules = {
    {{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}}};

const std::array<KeyMap, 6> kMaps = {{
    {"CLIPTextModel", "text_model.", kBareClip, {}, kIgnoredClip},
    {"AutoencoderKL", {}, {}, kAttentionRules, {}},
    {"VQModel", {}, {}, kAttentionRules, {}},
    {"UNet2DModel", {}, {}, kAttentionRules, {}},
    {"LDMBertModel", {}, {}, {}, kIgnoredLdmBert},
    {"RobertaSeriesModelWithTransformation", {}, {}, {}, kIgnoredRoberta},
}};
constexpr KeyMap kSameNames{};

bool starts_with_any(std::string_view key, std::span<const std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) {
    return key.substr(0, prefix.size()) == prefix;
  });
}

void apply(const KeyRule& rule, std::string& key) {
  const std::string from = cat('.', rule.from, '.');
  const std::string to = cat('.', rule.to, '.');
  for (std::size_t at = key.find(from); at != std::string::npos;
       at = key.find(from, at + to.size() - 1)) {
    key.replace(at, from.size(), to);
  }
}

}  // namespace

std::optional<std::string> KeyMap::rename(std::string_view key) const {
  if (starts_with_any(key, ignored)) return std::nullopt;
  std::string name = starts_with_any(key, bare) ? cat(prefix, key) : std::string(key);
  for (const KeyRule& rule : rules) apply(rule, name);
  return name;
}

const KeyMap& key_map(std::string_view class_name) {
  for (const KeyMap& map : kMaps) {
    if (map.class_name == class_name) return map;
  }
  return kSameNames;
}

}  // namespace ldm
