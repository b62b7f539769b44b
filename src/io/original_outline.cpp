#include <algorithm>
#include <array>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/original_layout.h"

namespace ldm {
namespace {

constexpr std::string_view kAveraged = "model_ema.";
constexpr std::string_view kDiffusionModel = "diffusion_model";

/// Segments of UNet keys, for names whose dots were taken out. The longest that fits is meant.
constexpr std::array<std::string_view, 32> kSegments = {
    "input_blocks", "middle_block", "output_blocks",
    "time_embed",   "label_emb",    "out_layers",
    "out",          "in_layers",    "emb_layers",
    "op",           "conv",         "skip_connection",
    "norm",         "qkv",          "proj_in",
    "proj_out",     "proj",         "transformer_blocks",
    "attn1",        "attn2",        "norm1",
    "norm2",        "norm3",        "to_q",
    "to_k",         "to_v",         "to_out",
    "ff",           "net",          "weight",
    "bias",         "id_predictor"};

std::string_view next_segment(std::string_view text) {
  std::string_view best;
  for (const std::string_view segment : kSegments) {
    if (text.starts_with(segment) && segment.size() > best.size()) best = segment;
  }
  return best;
}

/// "input_blocks10in_layers0weight" → "input_blocks.1.0.in_layers.0.weight"; nothing where a
/// segment is not known.
std::optional<std::string> with_dots(std::string_view text) {
  std::string key;
  bool numbered_twice = false;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits > 1 && numbered_twice) {
      // Block and module: the second number has one digit.
      key += cat('.', text.substr(0, digits - 1), '.', text.substr(digits - 1, 1));
      text.remove_prefix(digits);
      continue;
    }
    const std::string_view segment = digits > 0 ? text.substr(0, digits) : next_segment(text);
    if (segment.empty()) return std::nullopt;
    numbered_twice = segment == "input_blocks" || segment == "output_blocks";
    key += cat(key.empty() ? "" : ".", segment);
    text.remove_prefix(segment.size());
  }
  return key;
}

/// The level of each of `count` resnets a level, found by the first sampler.
std::size_t layers_before_sampler(const LayoutKeys& keys, std::size_t outputs) {
  for (std::size_t i = 0; i < outputs; ++i) {
    for (const char* inner : {".1.conv", ".2.conv", ".1.in_layers", ".2.in_layers"}) {
      if (has_block(keys, cat("output_blocks.", i, inner))) return i;
    }
  }
  return outputs - 1;
}

Error no_unet() {
  return Error::model("the names of the UNet's tensors make no known network",
                      "the file is incomplete, or of another kind of model");
}

bool any_contains(const LayoutKeys& keys, std::string_view text) {
  return std::any_of(keys.begin(), keys.end(), [text](const auto& item) {
    return item.first.find(text) != std::string::npos;
  });
}

}  // namespace

std::string averaged_name(std::string_view key) {
  std::string name(kAveraged);
  std::copy_if(key.begin(), key.end(), std::back_inserter(name), [](char c) { return c != '.'; });
  return name;
}

LayoutKeys averaged_unet_keys(const TensorSource& source) {
  LayoutKeys averaged;
  for (const auto& [dotless, name] : keys_below(source, cat(kAveraged, kDiffusionModel))) {
    if (auto key = with_dots(dotless)) averaged.emplace(*std::move(key), name);
  }
  return averaged;
}

UNetOutline outline_original_unet(const LayoutKeys& keys) {
  UNetOutline outline;
  const std::size_t outputs = count_blocks(keys, "output_blocks");
  const std::size_t inputs = count_blocks(keys, "input_blocks");
  if (outputs == 0) throw no_unet();
  outline.layers = layers_before_sampler(keys, outputs);
  outline.levels = outputs / (outline.layers + 1);
  if (outline.layers == 0 || outline.levels * (outline.layers + 1) != outputs ||
      inputs != outputs) {
    throw no_unet();
  }
  for (std::size_t i = 0; i < outline.levels; ++i) {
    outline.attention.push_back(
        has_block(keys, cat("input_blocks.", 1 + i * (outline.layers + 1), ".1")));
  }
  outline.transformer = any_contains(keys, ".transformer_blocks.");
  outline.resnet_sampling =
      outline.levels > 1 &&
      has_block(keys, cat("input_blocks.", outline.layers + 1, ".0.in_layers"));
  return outline;
}

UNetOutline outline_diffusers_unet(const LayoutKeys& keys) {
  UNetOutline outline;
  outline.levels = count_blocks(keys, "down_blocks");
  outline.layers = count_blocks(keys, "down_blocks.0.resnets");
  if (outline.levels == 0 || outline.layers == 0) throw no_unet();
  for (std::size_t i = 0; i < outline.levels; ++i) {
    outline.attention.push_back(has_block(keys, cat("down_blocks.", i, ".attentions.0")));
  }
  outline.transformer = any_contains(keys, ".transformer_blocks.");
  outline.resnet_sampling = has_block(keys, "down_blocks.0.downsamplers.0.conv1");
  return outline;
}

VaeOutline outline_original_vae(const LayoutKeys& keys) {
  VaeOutline outline;
  outline.levels = count_blocks(keys, "encoder.down");
  outline.layers = count_blocks(keys, "encoder.down.0.block");
  if (outline.levels == 0 || outline.layers == 0) {
    throw Error::model("the names of the autoencoder's tensors make no known network",
                       "the file is incomplete, or of another kind of model");
  }
  for (std::size_t i = 0; i < outline.levels; ++i) {
    outline.down_attention.push_back(has_block(keys, cat("encoder.down.", i, ".attn.0")));
    outline.up_attention.push_back(has_block(keys, cat("decoder.up.", i, ".attn.0")));
  }
  return outline;
}

VaeOutline outline_diffusers_vae(const LayoutKeys& keys) {
  VaeOutline outline;
  outline.levels = count_blocks(keys, "encoder.down_blocks");
  outline.layers = count_blocks(keys, "encoder.down_blocks.0.resnets");
  if (outline.levels == 0 || outline.layers == 0) {
    throw Error::model("the names of the autoencoder's tensors make no known network");
  }
  for (std::size_t i = 0; i < outline.levels; ++i) {
    const std::size_t step = outline.levels - 1 - i;
    outline.down_attention.push_back(
        has_block(keys, cat("encoder.down_blocks.", i, ".attentions.0")));
    outline.up_attention.push_back(
        has_block(keys, cat("decoder.up_blocks.", step, ".attentions.0")));
  }
  return outline;
}

}  // namespace ldm
