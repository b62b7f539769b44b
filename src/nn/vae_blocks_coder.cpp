#include "ldm/nn/vae_blocks_coder.h"

namespace ldm::nn {

VaeEncoderImpl::VaeEncoderImpl(const VaeCoderOptions& options) {
  const auto& channels = options.block_out_channels;
  conv_in = register_module("conv_in", Conv2d(options.in_channels, channels.front(), 3, 1, 1));
  down_blocks = register_module("down_blocks", std::make_shared<ModuleList<DownEncoderBlock2D>>());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const bool is_last = i + 1 == channels.size();
    down_blocks->append(DownEncoderBlock2D(channels[i == 0 ? 0 : i - 1], channels[i],
                                           options.layers_per_block, options.attention[i], !is_last,
                                           options.blocks));
  }
  mid_block = register_module(
      "mid_block", VaeMidBlock2D(channels.back(), options.mid_block_add_attention, options.blocks));
  conv_norm_out = register_module(
      "conv_norm_out", GroupNorm(options.blocks.num_groups, channels.back(), options.blocks.eps));
  conv_out = register_module("conv_out", Conv2d(channels.back(), options.out_channels, 3, 1, 1));
}

at::Tensor VaeEncoderImpl::forward(const at::Tensor& x) const {
  at::Tensor hidden = conv_in->forward(x);
  for (const DownEncoderBlock2D& block : *down_blocks) hidden = block->forward(hidden);
  hidden = mid_block->forward(hidden);
  return conv_out->forward(conv_norm_out->forward(hidden, get_activation("silu")));
}

VaeDecoderImpl::VaeDecoderImpl(const VaeCoderOptions& options) {
  const auto& channels = options.block_out_channels;
  conv_in = register_module("conv_in", Conv2d(options.in_channels, channels.back(), 3, 1, 1));
  up_blocks = register_module("up_blocks", std::make_shared<ModuleList<UpDecoderBlock2D>>());
  std::int64_t previous = channels.back();
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::int64_t next = channels[channels.size() - 1 - i];
    const bool is_last = i + 1 == channels.size();
    up_blocks->append(UpDecoderBlock2D(previous, next, options.layers_per_block + 1,
                                       options.attention[i], !is_last, options.blocks));
    previous = next;
  }
  mid_block = register_module(
      "mid_block", VaeMidBlock2D(channels.back(), options.mid_block_add_attention, options.blocks));
  conv_norm_out = register_module(
      "conv_norm_out", GroupNorm(options.blocks.num_groups, channels.front(), options.blocks.eps));
  conv_out = register_module("conv_out", Conv2d(channels.front(), options.out_channels, 3, 1, 1));
}

at::Tensor VaeDecoderImpl::forward(const at::Tensor& z) const {
  at::Tensor hidden = mid_block->forward(conv_in->forward(z));
  for (const UpDecoderBlock2D& block : *up_blocks) hidden = block->forward(hidden);
  return conv_out->forward(conv_norm_out->forward(hidden, get_activation("silu")));
}

}  // namespace ldm::nn
