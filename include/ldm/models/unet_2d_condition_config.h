#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ldm/core/config_types.h"

namespace ldm::models {

/// The fields of a UNet2DConditionModel's config.json, with diffusers' names and defaults.
///
/// Fields that only concern models this program does not run are kept so that `validate` can refuse
/// what it would otherwise compute wrongly.
struct UNet2DConditionConfig {
  std::optional<IntOrList> sample_size;  ///< latent height (and width); advice only
  std::int64_t in_channels = 4;
  std::int64_t out_channels = 4;
  bool center_input_sample = false;
  bool flip_sin_to_cos = true;
  std::int64_t freq_shift = 0;
  std::vector<std::string> down_block_types{"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                            "CrossAttnDownBlock2D", "DownBlock2D"};
  std::optional<std::string> mid_block_type{"UNetMidBlock2DCrossAttn"};
  std::vector<std::string> up_block_types{"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                                          "CrossAttnUpBlock2D"};
  BoolOrList only_cross_attention{false};
  std::vector<std::int64_t> block_out_channels{320, 640, 1280, 1280};
  IntOrList layers_per_block{2};
  std::int64_t downsample_padding = 1;
  double mid_block_scale_factor = 1.0;
  double dropout = 0.0;
  std::string act_fn = "silu";
  std::optional<std::int64_t> norm_num_groups{32};
  double norm_eps = 1e-5;
  IntOrList cross_attention_dim{1280};
  IntOrList transformer_layers_per_block{1};
  std::optional<IntOrList> reverse_transformer_layers_per_block;
  std::optional<std::int64_t> encoder_hid_dim;
  std::optional<std::string> encoder_hid_dim_type;
  IntOrList attention_head_dim{8};  ///< the number of heads, unless num_attention_heads is given
  std::optional<IntOrList> num_attention_heads;
  bool dual_cross_attention = false;
  bool use_linear_projection = false;
  std::optional<std::string> class_embed_type;
  std::optional<std::string> addition_embed_type;
  std::optional<std::int64_t> addition_time_embed_dim;
  std::optional<std::int64_t> num_class_embeds;
  bool upcast_attention = false;  ///< no effect: attention scores are fp32 whatever the dtype
  std::string resnet_time_scale_shift = "default";
  bool resnet_skip_time_act = false;     ///< no effect on the block types that are run here
  double resnet_out_scale_factor = 1.0;  ///< no effect on the block types that are run here
  std::string time_embedding_type = "positional";
  std::optional<std::int64_t> time_embedding_dim;
  std::optional<std::string> time_embedding_act_fn;
  std::optional<std::string> timestep_post_act;
  std::optional<std::int64_t> time_cond_proj_dim;
  std::int64_t conv_in_kernel = 3;
  std::int64_t conv_out_kernel = 3;
  std::optional<std::int64_t> projection_class_embeddings_input_dim;
  std::string attention_type = "default";
  bool class_embeddings_concat = false;
  std::optional<bool> mid_block_only_cross_attention;
  std::optional<std::string> cross_attention_norm;
  std::int64_t addition_embed_type_num_heads = 64;

  /// Calls v("name", member) once a field, in the file's order.
  template <class V>
  void visit(V&& v);

  /// Throws Error::model, naming the field, where fields contradict each other or ask for a model
  /// that this program does not run.
  void validate() const;

  std::size_t levels() const { return block_out_channels.size(); }
  /// Attention heads of level `i`.
  std::int64_t heads(std::size_t i) const {
    return num_attention_heads ? num_attention_heads->at(i) : attention_head_dim.at(i);
  }
  /// Width of the time embedding that every block sees.
  std::int64_t time_embed_dim() const {
    return time_embedding_dim.value_or(block_out_channels.front() * 4);
  }
};

template <class V>
void UNet2DConditionConfig::visit(V&& v) {
  v("sample_size", sample_size);
  v("in_channels", in_channels);
  v("out_channels", out_channels);
  v("center_input_sample", center_input_sample);
  v("flip_sin_to_cos", flip_sin_to_cos);
  v("freq_shift", freq_shift);
  v("down_block_types", down_block_types);
  v("mid_block_type", mid_block_type);
  v("up_block_types", up_block_types);
  v("only_cross_attention", only_cross_attention);
  v("block_out_channels", block_out_channels);
  v("layers_per_block", layers_per_block);
  v("downsample_padding", downsample_padding);
  v("mid_block_scale_factor", mid_block_scale_factor);
  v("dropout", dropout);
  v("act_fn", act_fn);
  v("norm_num_groups", norm_num_groups);
  v("norm_eps", norm_eps);
  v("cross_attention_dim", cross_attention_dim);
  v("transformer_layers_per_block", transformer_layers_per_block);
  v("reverse_transformer_layers_per_block", reverse_transformer_layers_per_block);
  v("encoder_hid_dim", encoder_hid_dim);
  v("encoder_hid_dim_type", encoder_hid_dim_type);
  v("attention_head_dim", attention_head_dim);
  v("num_attention_heads", num_attention_heads);
  v("dual_cross_attention", dual_cross_attention);
  v("use_linear_projection", use_linear_projection);
  v("class_embed_type", class_embed_type);
  v("addition_embed_type", addition_embed_type);
  v("addition_time_embed_dim", addition_time_embed_dim);
  v("num_class_embeds", num_class_embeds);
  v("upcast_attention", upcast_attention);
  v("resnet_time_scale_shift", resnet_time_scale_shift);
  v("resnet_skip_time_act", resnet_skip_time_act);
  v("resnet_out_scale_factor", resnet_out_scale_factor);
  v("time_embedding_type", time_embedding_type);
  v("time_embedding_dim", time_embedding_dim);
  v("time_embedding_act_fn", time_embedding_act_fn);
  v("timestep_post_act", timestep_post_act);
  v("time_cond_proj_dim", time_cond_proj_dim);
  v("conv_in_kernel", conv_in_kernel);
  v("conv_out_kernel", conv_out_kernel);
  v("projection_class_embeddings_input_dim", projection_class_embeddings_input_dim);
  v("attention_type", attention_type);
  v("class_embeddings_concat", class_embeddings_concat);
  v("mid_block_only_cross_attention", mid_block_only_cross_attention);
  v("cross_attention_norm", cross_attention_norm);
  v("addition_embed_type_num_heads", addition_embed_type_num_heads);
}

}  // namespace ldm::models
