#include "ldm/nn/tiny_coder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tanh.h>

#include "ldm/nn/activation.h"
#include "ldm/nn/resnet.h"

namespace ldm::nn {
namespace {

void append_blocks(Sequence& layers, std::int64_t count, const TinyCoderOptions& options) {
  for (std::int64_t i = 0; i < count; ++i) {
    layers.append(AutoencoderTinyBlock(options.channels, options.act_fn));
  }
}

}  // namespace

AutoencoderTinyBlockImpl::AutoencoderTinyBlockImpl(std::int64_t channels,
                                                   const std::string& act_fn) {
  const Activation activation = get_activation(act_fn);
  conv = register_module("conv", std::make_shared<Sequence>());
  conv->append(Conv2d(channels, channels, 3, 1, 1));
  conv->append_function(activation);
  conv->append(Conv2d(channels, channels, 3, 1, 1));
  conv->append_function(activation);
  conv->append(Conv2d(channels, channels, 3, 1, 1));
}

at::Tensor AutoencoderTinyBlockImpl::forward(const at::Tensor& x) const {
  return at::relu(conv->forward(x) + x);
}

EncoderTinyImpl::EncoderTinyImpl(const TinyCoderOptions& options) {
  const std::int64_t channels = options.channels;
  layers = register_module("layers", std::make_shared<Sequence>());
  for (std::size_t i = 0; i < options.num_blocks.size(); ++i) {
    layers->append(i == 0 ? Conv2d(options.in_channels, channels, 3, 1, 1)
                          : Conv2d(channels, channels, 3, 2, 1, false));
    append_blocks(*layers, options.num_blocks[i], options);
  }
  conv_out = Conv2d(channels, options.out_channels, 3, 1, 1);
  layers->append(conv_out);
}

at::Tensor EncoderTinyImpl::forward(const at::Tensor& x) const {
  return layers->forward((x + 1) / 2);
}

DecoderTinyImpl::DecoderTinyImpl(const TinyCoderOptions& options) {
  const std::int64_t channels = options.channels;
  layers = register_module("layers", std::make_shared<Sequence>());
  layers->append(Conv2d(options.in_channels, channels, 3, 1, 1));
  layers->append_function(get_activation(options.act_fn));
  for (std::size_t i = 0; i < options.num_blocks.size(); ++i) {
    append_blocks(*layers, options.num_blocks[i], options);
    if (i + 1 == options.num_blocks.size()) break;
    const Upsample2D doubled(channels);
    layers->append_function([doubled](const at::Tensor& x) { return doubled->forward(x); });
    layers->append(Conv2d(channels, channels, 3, 1, 1, false));
  }
  conv_out = Conv2d(channels, options.out_channels, 3, 1, 1);
  layers->append(conv_out);
}

at::Tensor DecoderTinyImpl::forward(const at::Tensor& z) const {
  return layers->forward(at::tanh(z / 3) * 3) * 2 - 1;
}

}  // namespace ldm::nn
