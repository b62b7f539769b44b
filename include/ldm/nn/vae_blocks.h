#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ldm/nn/attention.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/resnet.h"

namespace ldm::nn {

/// What the residual and attention blocks of one autoencoder share. Attention is over pixels with
/// one head as wide as the channels; ATen's fused kernels hold no score matrix for it, on the CPU
/// (any width) and on CUDA (memory-efficient kernel).
struct VaeBlockOptions {
  std::int64_t num_groups = 32;
  std::string act_fn = "silu";
  double eps = 1e-6;
};

/// Residual blocks, each followed by attention where asked, then a halving convolution.
/// x [B, in, H, W] → [B, out, H/2, W/2], or [B, out, H, W] without downsampling;
/// `diffusers.DownEncoderBlock2D` and, with attention, `AttnDownEncoderBlock2D`.
struct DownEncoderBlock2DImpl : torch::nn::Module {
  DownEncoderBlock2DImpl(std::int64_t in_channels, std::int64_t out_channels,
                         std::int64_t num_layers, bool add_attention, bool add_downsample,
                         const VaeBlockOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  std::shared_ptr<ModuleList<Attention>> attentions;       ///< empty without attention
  std::shared_ptr<ModuleList<Downsample2D>> downsamplers;  ///< empty at the last level
};
TORCH_MODULE(DownEncoderBlock2D);

/// Residual blocks, each followed by attention where asked, then a doubling convolution.
/// x [B, in, H, W] → [B, out, 2H, 2W], or [B, out, H, W] without upsampling;
/// `diffusers.UpDecoderBlock2D` and, with attention, `AttnUpDecoderBlock2D`.
struct UpDecoderBlock2DImpl : torch::nn::Module {
  UpDecoderBlock2DImpl(std::int64_t in_channels, std::int64_t out_channels, std::int64_t num_layers,
                       bool add_attention, bool add_upsample, const VaeBlockOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  std::shared_ptr<ModuleList<Attention>> attentions;   ///< empty without attention
  std::shared_ptr<ModuleList<Upsample2D>> upsamplers;  ///< empty at the last level
};
TORCH_MODULE(UpDecoderBlock2D);

/// Residual block, attention (unless left out), residual block. x [B, C, H, W] → same shape;
/// `diffusers.UNetMidBlock2D` as autoencoders use it, without time embedding.
struct VaeMidBlock2DImpl : torch::nn::Module {
  VaeMidBlock2DImpl(std::int64_t channels, bool add_attention, const VaeBlockOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  std::shared_ptr<ModuleList<Attention>> attentions;  ///< empty without attention
};
TORCH_MODULE(VaeMidBlock2D);

}  // namespace ldm::nn
