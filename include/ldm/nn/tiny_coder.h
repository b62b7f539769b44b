#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ldm/nn/layers.h"
#include "ldm/nn/sequence.h"

namespace ldm::nn {

/// What the encoder or the decoder of a tiny autoencoder is made of.
struct TinyCoderOptions {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 4;
  std::int64_t channels = 64;                  ///< throughout
  std::vector<std::int64_t> num_blocks = {1};  ///< residual blocks a level, in the coder's order
  std::string act_fn = "relu";
};

/// Three convolutions around a shortcut, then relu. x [B, C, H, W] → same;
/// `diffusers.AutoencoderTinyBlock` where it keeps the channels.
struct AutoencoderTinyBlockImpl : torch::nn::Module {
  AutoencoderTinyBlockImpl(std::int64_t channels, const std::string& act_fn);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<Sequence> conv;
};
TORCH_MODULE(AutoencoderTinyBlock);

/// Pictures in [-1, 1] to latents, halved before each level but the first.
/// x [B, in, H, W] → [B, out, ⌈H/2^(levels-1)⌉, …]; `diffusers.EncoderTiny`.
struct EncoderTinyImpl : torch::nn::Module {
  explicit EncoderTinyImpl(const TinyCoderOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<Sequence> layers;
  Conv2d conv_out{nullptr};  ///< the last of them
};
TORCH_MODULE(EncoderTiny);

/// Latents, softly clamped to ±3, to pictures in about [-1, 1], doubled after each level but the
/// last. z [B, in, h, w] → [B, out, 2^(levels-1) h, …]; `diffusers.DecoderTiny`.
struct DecoderTinyImpl : torch::nn::Module {
  explicit DecoderTinyImpl(const TinyCoderOptions& options);
  at::Tensor forward(const at::Tensor& z) const;

  std::shared_ptr<Sequence> layers;
  Conv2d conv_out{nullptr};  ///< the last of them
};
TORCH_MODULE(DecoderTiny);

}  // namespace ldm::nn
