#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ldm/nn/activation.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/streamed.h"

namespace ldm::nn {

/// Halves height and width: a 3×3 convolution of stride 2, or a 2×2 mean without `use_conv`.
/// Source: diffusers' Downsample2D.
struct Downsample2DImpl : torch::nn::Module {
  /// `padding` 0 pads one row below and one column to the right instead (as the VAE does);
  /// `out_channels` 0 means `channels`. Throws Error::internal for a mean that changes channels.
  explicit Downsample2DImpl(std::int64_t channels, bool use_conv = false,
                            std::int64_t out_channels = 0, std::int64_t padding = 1);
  /// x [B, C, H, W] → [B, C', ⌈H/2⌉, ⌈W/2⌉]; the mean and `padding` 0 round down.
  at::Tensor forward(const at::Tensor& x) const;

  Conv2d conv{nullptr};  ///< null without `use_conv`
};
TORCH_MODULE(Downsample2D);

/// Doubles height and width by nearest neighbour, then a 3×3 convolution with `use_conv`.
/// Source: diffusers' Upsample2D.
struct Upsample2DImpl : torch::nn::Module {
  explicit Upsample2DImpl(std::int64_t channels, bool use_conv = false,
                          std::int64_t out_channels = 0);
  /// x [B, C, H, W] → [B, C', 2H, 2W], or [B, C', h, w] where `output_size` is {h, w}.
  at::Tensor forward(const at::Tensor& x, at::IntArrayRef output_size = {}) const;

  Conv2d conv{nullptr};  ///< null without `use_conv`
};
TORCH_MODULE(Upsample2D);

/// What a ResnetBlock2D is made of; names and defaults are diffusers'.
struct ResnetBlock2DOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;     ///< 0: in_channels
  std::int64_t temb_channels = 512;  ///< 0: no time embedding
  std::int64_t groups = 32;
  double eps = 1e-6;
  std::string non_linearity = "swish";
  std::string time_embedding_norm = "default";  ///< default | scale_shift
  bool skip_time_act = false;                   ///< project the time embedding as it comes
  double output_scale_factor = 1.0;             ///< the sum is divided by it
  bool up = false;
  bool down = false;
};

/// Norm, activation, convolution, twice, around a shortcut; the time embedding is added between (or
/// scales and shifts the second norm). Source: Ho et al. 2020, appendix B; diffusers'
/// ResnetBlock2D.
struct ResnetBlock2DImpl : torch::nn::Module, Streamed {
  /// Throws Error::model for an unknown `time_embedding_norm` or `non_linearity`.
  explicit ResnetBlock2DImpl(const ResnetBlock2DOptions& options);
  /// x [B, C, H, W], temb [B, temb_channels] → [B, C', H', W'].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& temb = {}) const;
  /// The part of `forward` that does not see x: temb [B, temb_channels] → [B, C' or 2C'].
  at::Tensor project_temb(const at::Tensor& temb) const;
  /// The rest of `forward`, with what `project_temb` gave (undefined without a time embedding); its
  /// rows are repeated to those of x.
  at::Tensor forward_projected(const at::Tensor& x, const at::Tensor& of_time) const;

  GroupNorm norm1{nullptr};
  Conv2d conv1{nullptr};
  Linear time_emb_proj{nullptr};  ///< null where temb_channels is 0
  GroupNorm norm2{nullptr};
  Conv2d conv2{nullptr};
  Conv2d conv_shortcut{nullptr};  ///< null where the channels stay the same
  /// Where this block's projection begins in a row that has those of all blocks (see
  /// nn/time_projections.h); none: `temb` is the time embedding itself.
  std::optional<std::int64_t> temb_column;
  Upsample2D upsample{nullptr};
  Downsample2D downsample{nullptr};

 private:
  at::Tensor resample(const at::Tensor& x) const;
  /// The second norm of the first convolution's output, with the time embedding's part.
  at::Tensor norm_between(const PendingSum& first, const at::Tensor& of_time) const;

  Activation nonlinearity_;
  bool scale_shift_;
  bool skip_time_act_;
  double output_scale_factor_;
};
TORCH_MODULE(ResnetBlock2D);

}  // namespace ldm::nn
