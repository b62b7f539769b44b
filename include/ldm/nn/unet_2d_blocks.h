#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ldm/nn/attention.h"
#include "ldm/nn/deep_feature.h"
#include "ldm/nn/free_u.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/resnet.h"
#include "ldm/nn/transformer_2d.h"
#include "ldm/nn/unet_residuals.h"

namespace ldm::nn {

/// What follows each residual block of a UNet block.
enum class BlockAttention {
  kNone,   ///< nothing: DownBlock2D, UpBlock2D
  kSelf,   ///< an Attention over the pixels: AttnDownBlock2D, AttnUpBlock2D
  kCross,  ///< a Transformer2DModel that sees the text: CrossAttnDownBlock2D, CrossAttnUpBlock2D
};

/// What a block of a UNet is made of; names are diffusers'.
struct UNetBlockOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t prev_output_channel = 0;  ///< of the block before an up block
  std::int64_t temb_channels = 0;        ///< 0: no time embedding
  std::int64_t num_layers = 1;
  bool add_sampler =
      false;  ///< halve the size at the end of a down block, double it in an up block
  bool resnet_sampler = false;  ///< do so with a ResnetBlock2D instead of a convolution
  std::int64_t downsample_padding = 1;
  double resnet_eps = 1e-6;
  std::string resnet_act_fn = "swish";
  std::int64_t resnet_groups = 32;
  std::string resnet_time_scale_shift = "default";
  double output_scale_factor = 1.0;
  BlockAttention attention = BlockAttention::kNone;
  std::int64_t attention_head_dim = 1;  ///< channels of one head, for kSelf
  std::int64_t attn_groups =
      0;  ///< of a mid block's kSelf; 0: resnet_groups, no norm for scale_shift
  std::int64_t num_attention_heads = 1;  ///< for kCross, like all below
  std::int64_t transformer_layers = 1;
  std::int64_t cross_attention_dim = 1280;
  bool use_linear_projection = false;
  bool only_cross_attention = false;
};

/// The attention modules of one block, children "0", "1", … of either kind.
struct BlockAttentionsImpl : torch::nn::Module {
  /// Adds one over `channels` channels; `norm_num_groups` 0 leaves out the norm of kSelf.
  void append(const UNetBlockOptions& options, std::int64_t channels, std::int64_t norm_num_groups);
  /// Applies the i-th to x [B, C, H, W] → same; encoder_hidden_states is what kCross sees.
  at::Tensor forward(std::size_t i, const at::Tensor& x,
                     const at::Tensor& encoder_hidden_states) const;

  std::vector<Attention> self;
  std::vector<Transformer2DModel> cross;
};
TORCH_MODULE(BlockAttentions);

/// Residual blocks, attention after each, then the size halved.
/// Source: diffusers' DownBlock2D, ResnetDownsampleBlock2D, AttnDownBlock2D, CrossAttnDownBlock2D.
struct DownBlock2DImpl : torch::nn::Module {
  explicit DownBlock2DImpl(const UNetBlockOptions& options);
  /// x [B, C, H, W], temb [B, temb_channels], encoder_hidden_states [B, S, D] or undefined → the
  /// output of every layer, in order; the last one is the block's output.
  std::vector<at::Tensor> forward(const at::Tensor& x, const at::Tensor& temb,
                                  const at::Tensor& encoder_hidden_states = {}) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  BlockAttentions attentions{nullptr};                             ///< null for kNone
  std::shared_ptr<ModuleList<Downsample2D>> downsamplers;          ///< null without add_sampler
  std::shared_ptr<ModuleList<ResnetBlock2D>> resnet_downsamplers;  ///< "downsamplers" of that kind
};
TORCH_MODULE(DownBlock2D);

/// A residual block, then `num_layers` times attention and a residual block.
/// Source: diffusers' UNetMidBlock2D (kNone, kSelf) and UNetMidBlock2DCrossAttn (kCross).
struct UNetMidBlock2DImpl : torch::nn::Module {
  /// `in_channels` is the width throughout.
  explicit UNetMidBlock2DImpl(const UNetBlockOptions& options);
  /// x [B, C, H, W], temb [B, temb_channels], encoder_hidden_states [B, S, D] or undefined → same.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& temb = {},
                     const at::Tensor& encoder_hidden_states = {}) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  BlockAttentions attentions{nullptr};  ///< null for kNone
};
TORCH_MODULE(UNetMidBlock2D);

/// Residual blocks, each on its input joined with a skip connection, attention after each, then the
/// size doubled. Source: diffusers' UpBlock2D, ResnetUpsampleBlock2D, AttnUpBlock2D,
/// CrossAttnUpBlock2D.
struct UpBlock2DImpl : torch::nn::Module {
  explicit UpBlock2DImpl(const UNetBlockOptions& options);
  /// x [B, C, H, W], `skips` one [B, ·, H, W] a layer (the last one is used first) →
  /// [B, C', 2H, 2W], or the height and width of `output_size` where given (a ResnetBlock2D that
  /// doubles does not heed it).
  at::Tensor forward(const at::Tensor& x, at::TensorList skips, const at::Tensor& temb,
                     const at::Tensor& encoder_hidden_states = {},
                     at::IntArrayRef output_size = {}) const;
  /// The i-th layer alone, x from the layer before it joined with its own skip connection.
  at::Tensor forward_layer(std::size_t i, const at::Tensor& x, const at::Tensor& skip,
                           const at::Tensor& temb, const at::Tensor& encoder_hidden_states) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  BlockAttentions attentions{nullptr};                           ///< null for kNone
  std::shared_ptr<ModuleList<Upsample2D>> upsamplers;            ///< null without add_sampler
  std::shared_ptr<ModuleList<ResnetBlock2D>> resnet_upsamplers;  ///< "upsamplers" of that kind
  std::optional<FreeU> freeu;
  DeepFeature* deep_feature = nullptr;  ///< where set, gets what the last layer is given
};
TORCH_MODULE(UpBlock2D);

/// The first half of a UNet: `hidden` as for `forward_unet_blocks` → itself and the output of every
/// layer going down, and the middle's.
UNetResiduals forward_unet_encoder(const ModuleList<DownBlock2D>& down, const UNetMidBlock2D& mid,
                                   const at::Tensor& hidden, const at::Tensor& temb,
                                   const at::Tensor& encoder_hidden_states);

/// The blocks of a whole UNet: `hidden` [B, C, H, W], as its first convolution gives it, → the last
/// up block's output, of the same height and width. `mid` may be null; `encoder_hidden_states`
/// [B, S, D] is for cross-attention. With `gradient_checkpointing` each block's inner activations
/// are recomputed in backward (nn/recompute.h). `residuals` are added to the first half's outputs.
at::Tensor forward_unet_blocks(const ModuleList<DownBlock2D>& down, const UNetMidBlock2D& mid,
                               const ModuleList<UpBlock2D>& up, const at::Tensor& hidden,
                               const at::Tensor& temb, const at::Tensor& encoder_hidden_states = {},
                               bool gradient_checkpointing = false,
                               const UNetResiduals& residuals = {});

}  // namespace ldm::nn
