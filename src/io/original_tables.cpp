#include <array>

#include "ldm/core/text.h"
#include "ldm/io/original_layout.h"

// The names of the original layout as data: modules of CompVis/latent-diffusion
// `ldm/modules/{attention,x_transformer}.py`, `ldm/modules/diffusionmodules/{openaimodel,model}.py`
// and of mlfoundations/open_clip, beside diffusers' and transformers'.

namespace ldm {
namespace {

constexpr std::array<LeafRule, 1> kSame = {{{"", ""}}};

constexpr std::array<LeafRule, 6> kResnet = {{{"in_layers.0", "norm1"},
                                              {"in_layers.2", "conv1"},
                                              {"emb_layers.1", "time_emb_proj"},
                                              {"out_layers.0", "norm2"},
                                              {"out_layers.3", "conv2"},
                                              {"skip_connection", "conv_shortcut"}}};

constexpr std::array<LeafRule, 5> kAttentionBlock = {{{"norm", "group_norm"},
                                                      {"qkv", "to_q", 0, 3, 1},
                                                      {"qkv", "to_k", 1, 3, 1},
                                                      {"qkv", "to_v", 2, 3, 1},
                                                      {"proj_out", "to_out.0", 0, 1, 1}}};

constexpr std::array<LeafRule, 2> kVaeResnet = {{{"nin_shortcut", "conv_shortcut"}, {"", ""}}};

constexpr std::array<LeafRule, 5> kVaeAttention = {{{"norm", "group_norm"},
                                                    {"q", "to_q", 0, 1, 2},
                                                    {"k", "to_k", 0, 1, 2},
                                                    {"v", "to_v", 0, 1, 2},
                                                    {"proj_out", "to_out.0", 0, 1, 2}}};

constexpr std::array<LeafRule, 11> kOpenClipLayer = {
    {{"ln_1", "layer_norm1"},
     {"ln_2", "layer_norm2"},
     {"attn.in_proj_weight", "self_attn.q_proj.weight", 0, 3},
     {"attn.in_proj_weight", "self_attn.k_proj.weight", 1, 3},
     {"attn.in_proj_weight", "self_attn.v_proj.weight", 2, 3},
     {"attn.in_proj_bias", "self_attn.q_proj.bias", 0, 3},
     {"attn.in_proj_bias", "self_attn.k_proj.bias", 1, 3},
     {"attn.in_proj_bias", "self_attn.v_proj.bias", 2, 3},
     {"attn.out_proj", "self_attn.out_proj"},
     {"mlp.c_fc", "mlp.fc1"},
     {"mlp.c_proj", "mlp.fc2"}}};

// x_transformers numbers attention and feed-forward as layers of their own: 2i and 2i + 1.
constexpr std::array<LeafRule, 5> kBertAttention = {{{"0", "self_attn_layer_norm"},
                                                     {"1.to_q", "self_attn.q_proj"},
                                                     {"1.to_k", "self_attn.k_proj"},
                                                     {"1.to_v", "self_attn.v_proj"},
                                                     {"1.to_out", "self_attn.out_proj"}}};
constexpr std::array<LeafRule, 3> kBertFeedForward = {
    {{"0", "final_layer_norm"}, {"1.net.0.0", "fc1"}, {"1.net.2", "fc2"}}};

constexpr std::string_view kSchedule = "noise schedule: computed from the scheduler's config";
constexpr std::string_view kTraining = "used in training only";
constexpr std::string_view kPooled = "belongs to CLIP's pooled output, which no UNet here reads";

constexpr std::array<DroppedTensor, 32> kDropped = {{
    {"betas", kSchedule},
    {"alphas_cumprod*", kSchedule},
    {"sqrt_*", kSchedule},
    {"log_one_minus_alphas_cumprod", kSchedule},
    {"posterior_*", kSchedule},
    {"ddim_*", kSchedule},
    {"low_scale_model.*", kSchedule},
    {"scale_factor", "read as the autoencoder's scaling_factor"},
    {"logvar", kTraining},
    {"lvlb_weights", kTraining},
    {"loss.*", kTraining},
    {"first_stage_model.loss.*", kTraining},
    {"first_stage_model.model_ema.*", "averaged copy that the public samplers do not use"},
    {"model_ema.decay", kTraining},
    {"model_ema.num_updates", kTraining},
    {"model_ema.*", "averaged copy of the UNet's weights, not the ones used here"},
    {"global_step", kTraining},
    {"epoch", kTraining},
    {"iteration", kTraining},
    {"depth_model.*", "estimates depth; ldm-gen takes a depth picture"},
    {"cond_stage_model.transformer.text_model.embeddings.position_ids", "counts 0, 1, 2, …"},
    {"cond_stage_model.transformer.embeddings.position_ids", "counts 0, 1, 2, …"},
    {"cond_stage_model.transformer.text_projection*", kPooled},
    {"cond_stage_model.transformer.visual_projection*", kPooled},
    {"cond_stage_model.transformer.vision_model.*", kPooled},
    {"cond_stage_model.transformer.logit_scale", kPooled},
    {"cond_stage_model.logit_scale", kPooled},
    {"cond_stage_model.model.text_projection", kPooled},
    {"cond_stage_model.model.logit_scale", kPooled},
    {"cond_stage_model.model.visual.*", kPooled},
    {"cond_stage_model.model.attn_mask", "the causal mask is computed"},
    {"cond_stage_model.attn_mask", "the causal mask is computed"},
}};

void add_attention(LayoutBlocks& blocks, const UNetOutline& outline, std::size_t level,
                   std::string original, std::string diffusers) {
  const std::int64_t heads =
      outline.transformer || outline.heads.empty() ? 1 : outline.heads.at(level);
  const std::span<const LeafRule> leaves = outline.transformer
                                               ? std::span<const LeafRule>(kSame)
                                               : std::span<const LeafRule>(kAttentionBlock);
  blocks.push_back({std::move(original), std::move(diffusers), leaves, heads});
}

void add_down(LayoutBlocks& blocks, const UNetOutline& outline, std::size_t level) {
  const std::size_t first = 1 + level * (outline.layers + 1);
  const std::string to = cat("down_blocks.", level);
  for (std::size_t j = 0; j < outline.layers; ++j) {
    const std::string from = cat("input_blocks.", first + j);
    blocks.push_back({from + ".0", cat(to, ".resnets.", j), kResnet});
    if (outline.attention.at(level)) {
      add_attention(blocks, outline, level, from + ".1", cat(to, ".attentions.", j));
    }
  }
  if (level + 1 == outline.levels) return;
  const std::string from = cat("input_blocks.", first + outline.layers, ".0");
  if (outline.resnet_sampling) {
    blocks.push_back({from, to + ".downsamplers.0", kResnet});
  } else {
    blocks.push_back({from + ".op", to + ".downsamplers.0.conv", kSame});
  }
}

// diffusers counts the levels going up from the narrowest, as they run.
void add_up(LayoutBlocks& blocks, const UNetOutline& outline, std::size_t step) {
  const std::size_t level = outline.levels - 1 - step;
  const std::string to = cat("up_blocks.", step);
  const bool attends = outline.attention.at(level);
  for (std::size_t j = 0; j <= outline.layers; ++j) {
    const std::string from = cat("output_blocks.", step * (outline.layers + 1) + j);
    blocks.push_back({from + ".0", cat(to, ".resnets.", j), kResnet});
    if (attends) add_attention(blocks, outline, level, from + ".1", cat(to, ".attentions.", j));
    if (j < outline.layers || level == 0) continue;
    const std::string sampler = from + (attends ? ".2" : ".1");
    blocks.push_back({sampler, to + ".upsamplers.0",
                      outline.resnet_sampling ? std::span<const LeafRule>(kResnet)
                                              : std::span<const LeafRule>(kSame)});
  }
}

void add_coder_mid(LayoutBlocks& blocks, const std::string& coder) {
  blocks.push_back({coder + ".mid.block_1", coder + ".mid_block.resnets.0", kVaeResnet});
  blocks.push_back({coder + ".mid.attn_1", coder + ".mid_block.attentions.0", kVaeAttention});
  blocks.push_back({coder + ".mid.block_2", coder + ".mid_block.resnets.1", kVaeResnet});
  blocks.push_back({coder + ".conv_in", coder + ".conv_in", kSame});
  blocks.push_back({coder + ".norm_out", coder + ".conv_norm_out", kSame});
  blocks.push_back({coder + ".conv_out", coder + ".conv_out", kSame});
}

void add_coder_level(LayoutBlocks& blocks, const std::string& from, const std::string& to,
                     std::size_t layers, bool attends) {
  for (std::size_t j = 0; j < layers; ++j) {
    blocks.push_back({cat(from, ".block.", j), cat(to, ".resnets.", j), kVaeResnet});
    if (attends) {
      blocks.push_back({cat(from, ".attn.", j), cat(to, ".attentions.", j), kVaeAttention});
    }
  }
}

}  // namespace

LayoutBlocks unet_blocks(const UNetOutline& outline) {
  LayoutBlocks blocks = {{"time_embed.0", "time_embedding.linear_1", kSame},
                         {"time_embed.2", "time_embedding.linear_2", kSame},
                         {"label_emb", "class_embedding", kSame},
                         {"input_blocks.0.0", "conv_in", kSame},
                         {"middle_block.0", "mid_block.resnets.0", kResnet},
                         {"middle_block.2", "mid_block.resnets.1", kResnet},
                         {"out.0", "conv_norm_out", kSame},
                         {"out.2", "conv_out", kSame}};
  add_attention(blocks, outline, outline.levels - 1, "middle_block.1", "mid_block.attentions.0");
  for (std::size_t level = 0; level < outline.levels; ++level) {
    add_down(blocks, outline, level);
    add_up(blocks, outline, level);
  }
  return blocks;
}

LayoutBlocks controlnet_blocks(const UNetOutline& outline, std::size_t outputs) {
  LayoutBlocks blocks = unet_blocks(outline);
  const std::string hint = "controlnet_cond_embedding.";
  blocks.push_back({"input_hint_block.0", hint + "conv_in", kSame});
  constexpr std::size_t kHintBlocks = 6;
  for (std::size_t i = 0; i < kHintBlocks; ++i) {
    blocks.push_back({cat("input_hint_block.", 2 * i + 2), cat(hint, "blocks.", i), kSame});
  }
  blocks.push_back({"input_hint_block.14", hint + "conv_out", kSame});
  for (std::size_t i = 0; i < outputs; ++i) {
    blocks.push_back({cat("zero_convs.", i, ".0"), cat("controlnet_down_blocks.", i), kSame});
  }
  blocks.push_back({"middle_block_out.0", "controlnet_mid_block", kSame});
  return blocks;
}

LayoutBlocks vae_blocks(const VaeOutline& outline) {
  LayoutBlocks blocks = {{"quant_conv", "quant_conv", kSame},
                         {"post_quant_conv", "post_quant_conv", kSame},
                         {"quantize.embedding", "quantize.embedding", kSame}};
  add_coder_mid(blocks, "encoder");
  add_coder_mid(blocks, "decoder");
  for (std::size_t i = 0; i < outline.levels; ++i) {
    const std::string down = cat("encoder.down.", i);
    const std::string down_to = cat("encoder.down_blocks.", i);
    const std::string up = cat("decoder.up.", i);
    const std::string up_to = cat("decoder.up_blocks.", outline.levels - 1 - i);
    add_coder_level(blocks, down, down_to, outline.layers, outline.down_attention.at(i));
    add_coder_level(blocks, up, up_to, outline.layers + 1, outline.up_attention.at(i));
    blocks.push_back({down + ".downsample.conv", down_to + ".downsamplers.0.conv", kSame});
    blocks.push_back({up + ".upsample.conv", up_to + ".upsamplers.0.conv", kSame});
  }
  return blocks;
}

LayoutBlocks clip_blocks() { return {{"text_model", "text_model", kSame}}; }

LayoutBlocks open_clip_blocks(std::size_t layers) {
  LayoutBlocks blocks = {
      {"token_embedding", "text_model.embeddings.token_embedding", kSame},
      {"positional_embedding", "text_model.embeddings.position_embedding.weight", kSame},
      {"ln_final", "text_model.final_layer_norm", kSame}};
  for (std::size_t i = 0; i < layers; ++i) {
    blocks.push_back(
        {cat("transformer.resblocks.", i), cat("text_model.encoder.layers.", i), kOpenClipLayer});
  }
  return blocks;
}

LayoutBlocks bert_blocks(std::size_t layers) {
  LayoutBlocks blocks = {{"token_emb", "model.embed_tokens", kSame},
                         {"pos_emb.emb", "model.embed_positions", kSame},
                         {"norm", "model.layer_norm", kSame},
                         {"to_logits", "to_logits", kSame}};
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string to = cat("model.layers.", i);
    blocks.push_back({cat("attn_layers.layers.", 2 * i), to, kBertAttention});
    blocks.push_back({cat("attn_layers.layers.", 2 * i + 1), to, kBertFeedForward});
  }
  return blocks;
}

LayoutBlocks class_embedder_blocks() { return {{"embedding", "embedding", kSame}}; }

const DroppedTensor* find_dropped(std::string_view key) {
  for (const DroppedTensor& row : kDropped) {
    const std::string_view pattern = row.pattern;
    const bool fits = pattern.ends_with('*')
                          ? key.starts_with(pattern.substr(0, pattern.size() - 1))
                          : key == pattern;
    if (fits) return &row;
  }
  return nullptr;
}

}  // namespace ldm
