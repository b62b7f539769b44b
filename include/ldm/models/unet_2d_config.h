#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ldm/core/config_types.h"

namespace ldm::models {

/// The fields of a UNet2DModel's config.json, with diffusers' names and defaults.
struct UNet2DConfig {
  std::optional<IntOrList> sample_size;  ///< latent height (and width); advice only
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  bool center_input_sample = false;
  std::string time_embedding_type = "positional";  ///< "fourier" and "learned" are refused
  std::optional<std::int64_t> time_embedding_dim;
  std::int64_t freq_shift = 0;
  bool flip_sin_to_cos = true;
  std::vector<std::string> down_block_types{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D",
                                            "AttnDownBlock2D"};
  std::optional<std::string> mid_block_type{"UNetMidBlock2D"};
  std::vector<std::string> up_block_types{"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D",
                                          "UpBlock2D"};
  std::vector<std::int64_t> block_out_channels{224, 448, 672, 896};
  std::int64_t layers_per_block = 2;
  double mid_block_scale_factor = 1.0;
  std::int64_t downsample_padding = 1;
  std::string downsample_type = "conv";  ///< conv | resnet, of AttnDownBlock2D only
  std::string upsample_type = "conv";    ///< conv | resnet, of AttnUpBlock2D only
  double dropout = 0.0;                  ///< no effect outside training
  std::string act_fn = "silu";
  /// Channels of one head; null: one head a level. A list gives each level its own, which diffusers
  /// cannot: the original LSUN churches model has 8 heads at every level.
  std::optional<IntOrList> attention_head_dim{IntOrList(8)};
  std::int64_t norm_num_groups = 32;
  std::optional<std::int64_t> attn_norm_num_groups;  ///< of the mid block's attention
  double norm_eps = 1e-5;
  std::string resnet_time_scale_shift = "default";
  bool add_attention = true;                    ///< in the mid block
  std::optional<std::string> class_embed_type;  ///< "timestep"; "identity" is refused
  std::optional<std::int64_t> num_class_embeds;
  std::optional<std::int64_t> num_train_timesteps;  ///< no effect: for "learned" embeddings

  /// Calls v("name", member) once a field, in the file's order.
  template <class V>
  void visit(V&& v);

  /// Throws Error::model, naming the field, where fields contradict each other or ask for a model
  /// that this program does not run.
  void validate() const;

  std::size_t levels() const { return block_out_channels.size(); }
  /// Channels of one attention head at level `i`.
  std::int64_t head_dim(std::size_t i) const {
    return attention_head_dim ? attention_head_dim->at(i) : block_out_channels[i];
  }
  /// Width of the time embedding that every block sees.
  std::int64_t time_embed_dim() const {
    return time_embedding_dim.value_or(block_out_channels.front() * 4);
  }
};

template <class V>
void UNet2DConfig::visit(V&& v) {
  v("sample_size", sample_size);
  v("in_channels", in_channels);
  v("out_channels", out_channels);
  v("center_input_sample", center_input_sample);
  v("time_embedding_type", time_embedding_type);
  v("time_embedding_dim", time_embedding_dim);
  v("freq_shift", freq_shift);
  v("flip_sin_to_cos", flip_sin_to_cos);
  v("down_block_types", down_block_types);
  v("mid_block_type", mid_block_type);
  v("up_block_types", up_block_types);
  v("block_out_channels", block_out_channels);
  v("layers_per_block", layers_per_block);
  v("mid_block_scale_factor", mid_block_scale_factor);
  v("downsample_padding", downsample_padding);
  v("downsample_type", downsample_type);
  v("upsample_type", upsample_type);
  v("dropout", dropout);
  v("act_fn", act_fn);
  v("attention_head_dim", attention_head_dim);
  v("norm_num_groups", norm_num_groups);
  v("attn_norm_num_groups", attn_norm_num_groups);
  v("norm_eps", norm_eps);
  v("resnet_time_scale_shift", resnet_time_scale_shift);
  v("add_attention", add_attention);
  v("class_embed_type", class_embed_type);
  v("num_class_embeds", num_class_embeds);
  v("num_train_timesteps", num_train_timesteps);
}

}  // namespace ldm::models
