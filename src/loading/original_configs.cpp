#include "ldm/loading/original_configs.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

using Json = nlohmann::json;
using Widths = std::vector<std::int64_t>;

/// Dimension `axis` of tensor `name`.
std::int64_t dim_of(const TensorSource& tensors, const std::string& name, std::size_t axis) {
  const TensorInfo* info = tensors.find(name);
  if (info == nullptr) throw Error::model(cat("no tensor for \"", name, "\""));
  if (axis >= info->shape.size()) {
    throw Error::model(
        cat("tensor for \"", name, "\" is ", describe(*info), ", expected more dimensions"));
  }
  return info->shape[axis];
}

std::string list(const Widths& widths) { return Json(widths).dump(); }

/// The levels at which a flag is set, for people: "0, 1, 2" or "none".
std::string levels_text(const std::vector<bool>& flags) {
  std::vector<std::string> levels;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (flags[i]) levels.push_back(std::to_string(i));
  }
  return levels.empty() ? "none" : join(levels, ", ");
}

/// Block types of one direction; going up the order is reversed by the caller.
std::string unet_block_type(const UNetOutline& outline, std::size_t level, bool down,
                            bool has_sampler) {
  const std::string direction = down ? "Down" : "Up";
  if (outline.attention[level]) {
    return (outline.transformer ? "CrossAttn" : "Attn") + direction + "Block2D";
  }
  if (outline.resnet_sampling && has_sampler) {
    return "Resnet" + direction + "sampleBlock2D";
  }
  return direction + "Block2D";
}

void set_block_types(Json& config, const UNetOutline& outline) {
  std::vector<std::string> down;
  std::vector<std::string> up;
  for (std::size_t i = 0; i < outline.levels; ++i) {
    down.push_back(unet_block_type(outline, i, true, i + 1 < outline.levels));
    const std::size_t level = outline.levels - 1 - i;
    up.push_back(unet_block_type(outline, level, false, level > 0));
  }
  config["down_block_types"] = down;
  config["up_block_types"] = up;
}

/// The first transformer going down at `level`.
std::string transformer_of(std::size_t level) {
  return cat("down_blocks.", level, ".attentions.0");
}

void set_transformer_fields(Json& config, const UNetOutline& outline, const TensorSource& tensors,
                            const Widths& widths) {
  std::vector<bool> only_cross;
  for (std::size_t i = 0; i < outline.levels; ++i) {
    const std::string key = transformer_of(i) + ".transformer_blocks.0.attn1.to_k.weight";
    only_cross.push_back(outline.attention[i] && dim_of(tensors, key, 1) != widths[i]);
  }
  // Without self-attention in between, a level without attention counts with its neighbours.
  const bool any = std::find(only_cross.begin(), only_cross.end(), true) != only_cross.end();
  for (std::size_t i = 0; i < outline.levels && any; ++i) {
    if (!outline.attention[i]) only_cross[i] = i + 1 < outline.levels;
  }
  config["only_cross_attention"] = any ? Json(only_cross) : Json(false);
  const std::string mid = "mid_block.attentions.0";
  const std::string block = mid + ".transformer_blocks.";
  config["cross_attention_dim"] = dim_of(tensors, block + "0.attn2.to_k.weight", 1);
  config["use_linear_projection"] = tensors.find(mid + ".proj_in.weight")->shape.size() == 2;
  std::int64_t depth = 1;
  while (tensors.find(cat(block, depth, ".attn2.to_k.weight")) != nullptr) ++depth;
  config["transformer_layers_per_block"] = depth;
}

void set_attention_block_fields(Json& config, const UNetOutline& outline) {
  const char* sampling = outline.resnet_sampling ? "resnet" : "conv";
  config["downsample_type"] = sampling;
  config["upsample_type"] = sampling;
}

void set_heads(Json& config, const UNetOutline& outline, const Widths& widths,
               const CheckpointFamily& family) {
  if (!outline.transformer && family.heads == 0) {
    config["attention_head_dim"] = family.head_dim;
    return;
  }
  if (outline.transformer && family.heads > 0) {
    config["attention_head_dim"] = family.heads;
    return;
  }
  // UNet2DConditionModel's field is a number of heads, UNet2DModel's the width of one.
  Widths values = outline.heads;
  if (!outline.transformer) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = widths[i] / values[i];
  }
  config["attention_head_dim"] = values;
}

std::string coder_type(const char* coder, bool attends) {
  return cat(attends ? "Attn" : "", coder, "Block2D");
}

std::int64_t count_layers(const TensorSource& tensors, std::string_view before,
                          std::string_view after) {
  std::int64_t layers = 0;
  while (tensors.find(cat(before, layers, after)) != nullptr) ++layers;
  return layers;
}

}  // namespace

std::vector<std::int64_t> heads_by_level(const Widths& widths, const CheckpointFamily& family) {
  Widths heads;
  for (const std::int64_t width : widths) {
    heads.push_back(family.heads > 0 ? family.heads
                                     : std::max<std::int64_t>(1, width / family.head_dim));
  }
  return heads;
}

void infer_unet_config(Json& config, UNetOutline& outline, const TensorSource& tensors,
                       const CheckpointFamily& family, std::vector<std::string>& evidence) {
  Widths widths;
  for (std::size_t i = 0; i < outline.levels; ++i) {
    widths.push_back(dim_of(tensors, cat("down_blocks.", i, ".resnets.0.conv1.weight"), 0));
  }
  outline.heads = heads_by_level(widths, family);
  config["_class_name"] = outline.transformer ? "UNet2DConditionModel" : "UNet2DModel";
  config["in_channels"] = dim_of(tensors, "conv_in.weight", 1);
  config["out_channels"] = dim_of(tensors, "conv_out.weight", 0);
  config["block_out_channels"] = widths;
  config["layers_per_block"] = outline.layers;
  set_block_types(config, outline);
  set_heads(config, outline, widths, family);
  if (outline.transformer) {
    set_transformer_fields(config, outline, tensors, widths);
  } else {
    set_attention_block_fields(config, outline);
  }
  const std::string resnet = "down_blocks.0.resnets.0.";
  const bool scale_shift = dim_of(tensors, resnet + "time_emb_proj.weight", 0) == 2 * widths[0];
  config["resnet_time_scale_shift"] = scale_shift ? "scale_shift" : "default";
  if (const TensorInfo* classes = tensors.find("class_embedding.weight")) {
    config["num_class_embeds"] = classes->shape.at(0);
  }
  evidence.push_back(cat("UNet: ", config["in_channels"].dump(), " channels in, ",
                         config["out_channels"].dump(), " out; levels ", list(widths), " of ",
                         outline.layers, " resnets, ",
                         outline.transformer ? "transformers" : "attention", " at levels ",
                         levels_text(outline.attention)));
  if (outline.transformer) {
    evidence.push_back(
        cat("UNet: attends to a sequence ", config["cross_attention_dim"].dump(), " wide, ",
            config["use_linear_projection"].get<bool>() ? "linear" : "1x1", " projections"));
  }
  evidence.push_back(
      cat("UNet: ", list(outline.heads), " heads by level, the family's rule (",
          family.heads > 0 ? cat(family.heads, " heads") : cat("heads ", family.head_dim, " wide"),
          ")"));
}

void infer_vae_config(Json& config, const VaeOutline& outline, const TensorSource& tensors,
                      std::vector<std::string>& evidence) {
  const TensorInfo* codebook = tensors.find("quantize.embedding.weight");
  Widths widths;
  std::vector<std::string> down;
  std::vector<std::string> up;
  for (std::size_t i = 0; i < outline.levels; ++i) {
    widths.push_back(dim_of(tensors, cat("encoder.down_blocks.", i, ".resnets.0.conv1.weight"), 0));
    down.push_back(coder_type("DownEncoder", outline.down_attention[i]));
    up.push_back(coder_type("UpDecoder", outline.up_attention[outline.levels - 1 - i]));
  }
  config["_class_name"] = codebook != nullptr ? "VQModel" : "AutoencoderKL";
  config["in_channels"] = dim_of(tensors, "encoder.conv_in.weight", 1);
  config["out_channels"] = dim_of(tensors, "decoder.conv_out.weight", 0);
  config["block_out_channels"] = widths;
  config["layers_per_block"] = outline.layers;
  config["down_block_types"] = down;
  config["up_block_types"] = up;
  config["latent_channels"] = dim_of(tensors, "decoder.conv_in.weight", 1);
  if (tensors.find("encoder.mid_block.attentions.0.to_q.weight") == nullptr) {
    config["mid_block_add_attention"] = false;
  }
  if (codebook != nullptr) {
    config["num_vq_embeddings"] = dim_of(tensors, "quantize.embedding.weight", 0);
    config["vq_embed_dim"] = dim_of(tensors, "quantize.embedding.weight", 1);
  }
  evidence.push_back(
      cat("autoencoder: ", codebook != nullptr ? cat("VQ, ", describe(*codebook), " codes") : "KL",
          ", ", config["latent_channels"].dump(), " latent channels, levels ", list(widths)));
}

void infer_clip_config(Json& config, const TensorSource& tensors,
                       std::vector<std::string>& evidence) {
  const std::string model = "text_model.";
  const std::string tokens = model + "embeddings.token_embedding.weight";
  const std::int64_t width = dim_of(tensors, tokens, 1);
  const std::int64_t layers =
      count_layers(tensors, model + "encoder.layers.", ".layer_norm1.weight");
  constexpr std::int64_t kHeadDim = 64;
  config["vocab_size"] = dim_of(tensors, tokens, 0);
  config["hidden_size"] = width;
  config["intermediate_size"] = dim_of(tensors, model + "encoder.layers.0.mlp.fc1.weight", 0);
  config["num_hidden_layers"] = layers;
  config["num_attention_heads"] = std::max<std::int64_t>(1, width / kHeadDim);
  config["max_position_embeddings"] =
      dim_of(tensors, model + "embeddings.position_embedding.weight", 0);
  evidence.push_back(cat("text encoder: ", layers, " layers ", width, " wide, ",
                         config["vocab_size"].dump(), " tokens; ", config["hidden_act"].dump(),
                         " and heads 64 wide by family"));
}

void infer_bert_config(Json& config, const TensorSource& tensors,
                       std::vector<std::string>& evidence) {
  const std::int64_t width = dim_of(tensors, "model.embed_tokens.weight", 1);
  const std::int64_t layers = count_layers(tensors, "model.layers.", ".fc1.weight");
  const std::int64_t inner = dim_of(tensors, "model.layers.0.self_attn.q_proj.weight", 0);
  // x_transformers' default; the width of a head follows.
  constexpr std::int64_t kHeads = 8;
  config["vocab_size"] = dim_of(tensors, "model.embed_tokens.weight", 0);
  config["max_position_embeddings"] = dim_of(tensors, "model.embed_positions.weight", 0);
  config["d_model"] = width;
  config["encoder_layers"] = layers;
  config["encoder_ffn_dim"] = dim_of(tensors, "model.layers.0.fc1.weight", 0);
  config["encoder_attention_heads"] = kHeads;
  config["head_dim"] = inner / kHeads;
  evidence.push_back(cat("text encoder: BERT tokens, ", layers, " layers ", width, " wide, ",
                         config["vocab_size"].dump(), " tokens; ", kHeads, " heads by family"));
}

void infer_class_config(Json& config, const TensorSource& tensors,
                        std::vector<std::string>& evidence) {
  config["num_classes"] = dim_of(tensors, "embedding.weight", 0);
  config["embed_dim"] = dim_of(tensors, "embedding.weight", 1);
  evidence.push_back(cat("condition: ", config["num_classes"].dump(), " classes"));
}

}  // namespace ldm
