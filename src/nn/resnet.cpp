#include "ldm/nn/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <array>

#include "ldm/core/error.h"

namespace ldm::nn {

Downsample2DImpl::Downsample2DImpl(std::int64_t channels, bool use_conv, std::int64_t out_channels,
                                   std::int64_t padding) {
  if (out_channels == 0) out_channels = channels;
  if (use_conv) {
    conv = register_module("conv", Conv2d(channels, out_channels, 3, 2, padding));
  } else if (out_channels != channels) {
    throw Error::internal("Downsample2D without a convolution cannot change the channels");
  }
}

at::Tensor Downsample2DImpl::forward(const at::Tensor& x) const {
  if (!conv) return at::avg_pool2d(x, {2, 2}, {2, 2});
  return conv->forward(conv->padding == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}, 0) : x);
}

Upsample2DImpl::Upsample2DImpl(std::int64_t channels, bool use_conv, std::int64_t out_channels) {
  if (!use_conv) return;
  if (out_channels == 0) out_channels = channels;
  conv = register_module("conv", Conv2d(channels, out_channels, 3, 1, 1));
}

at::Tensor Upsample2DImpl::forward(const at::Tensor& x, at::IntArrayRef output_size) const {
  const std::array<std::int64_t, 2> doubled{2 * x.size(2), 2 * x.size(3)};
  const at::Tensor larger =
      at::upsample_nearest2d(x, output_size.empty() ? at::IntArrayRef(doubled) : output_size);
  return conv ? conv->forward(larger) : larger;
}

ResnetBlock2DImpl::ResnetBlock2DImpl(const ResnetBlock2DOptions& options)
    : nonlinearity_(get_activation(options.non_linearity)),
      scale_shift_(options.time_embedding_norm == "scale_shift"),
      skip_time_act_(options.skip_time_act),
      output_scale_factor_(options.output_scale_factor) {
  if (!scale_shift_ && options.time_embedding_norm != "default") {
    throw Error::model("unknown time_embedding_norm \"" + options.time_embedding_norm + "\"",
                       "known: default, scale_shift");
  }
  const std::int64_t in = options.in_channels;
  const std::int64_t out = options.out_channels == 0 ? in : options.out_channels;
  norm1 = register_module("norm1", GroupNorm(options.groups, in, options.eps));
  conv1 = register_module("conv1", Conv2d(in, out, 3, 1, 1));
  if (options.temb_channels != 0) {
    time_emb_proj = register_module("time_emb_proj",
                                    Linear(options.temb_channels, scale_shift_ ? 2 * out : out));
  }
  norm2 = register_module("norm2", GroupNorm(options.groups, out, options.eps));
  conv2 = register_module("conv2", Conv2d(out, out, 3, 1, 1));
  if (in != out) conv_shortcut = register_module("conv_shortcut", Conv2d(in, out, 1));
  if (options.up) upsample = register_module("upsample", Upsample2D(in));
  if (options.down) downsample = register_module("downsample", Downsample2D(in));
}

at::Tensor ResnetBlock2DImpl::resample(const at::Tensor& x) const {
  if (upsample) return upsample->forward(x);
  if (downsample) return downsample->forward(x);
  return x;
}

at::Tensor ResnetBlock2DImpl::project_temb(const at::Tensor& temb) const {
  if (!time_emb_proj || !temb.defined()) return {};
  if (temb_column) return temb.narrow(1, *temb_column, time_emb_proj->weight.size(0));
  return time_emb_proj->forward(skip_time_act_ ? temb : nonlinearity_(temb));
}

at::Tensor ResnetBlock2DImpl::norm_between(const PendingSum& first,
                                           const at::Tensor& of_time) const {
  if (!scale_shift_ || !of_time.defined()) {
    return norm2->forward(first.value, nonlinearity_, {first.bias, of_time});
  }
  const std::int64_t rows = first.value.size(0);
  const auto parts = repeat_batch(of_time, rows).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
  const at::Tensor normed = norm2->forward(first.value, nullptr, {first.bias});
  return nonlinearity_(normed * (1 + parts[0]) + parts[1]);
}

at::Tensor ResnetBlock2DImpl::forward(const at::Tensor& x, const at::Tensor& temb) const {
  return forward_projected(x, project_temb(temb));
}

at::Tensor ResnetBlock2DImpl::forward_projected(const at::Tensor& x,
                                                const at::Tensor& of_time) const {
  await_weights();
  if (time_emb_proj && !of_time.defined()) {
    throw Error::internal("a ResnetBlock2D with a time embedding was called without one");
  }
  at::Tensor hidden =
      norm_between(conv1->forward_pending(resample(norm1->forward(x, nonlinearity_))), of_time);
  const at::Tensor input = resample(x);
  hidden = conv2->forward_add(hidden, conv_shortcut ? conv_shortcut->forward(input) : input);
  return output_scale_factor_ == 1.0 ? hidden : hidden / output_scale_factor_;
}

}  // namespace ldm::nn
