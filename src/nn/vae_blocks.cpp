#include "ldm/nn/vae_blocks.h"

namespace ldm::nn {
namespace {

ResnetBlock2D make_resnet(std::int64_t in_channels, std::int64_t out_channels,
                          const VaeBlockOptions& options) {
  ResnetBlock2DOptions resnet;
  resnet.in_channels = in_channels;
  resnet.out_channels = out_channels;
  resnet.temb_channels = 0;
  resnet.groups = options.num_groups;
  resnet.eps = options.eps;
  resnet.non_linearity = options.act_fn;
  return ResnetBlock2D(resnet);
}

Attention make_attention(std::int64_t channels, const VaeBlockOptions& options) {
  AttentionOptions attention;
  attention.query_dim = channels;
  attention.heads = 1;
  attention.dim_head = channels;
  attention.bias = true;
  attention.norm_num_groups = options.num_groups;
  attention.eps = options.eps;
  attention.residual_connection = true;
  return Attention(attention);
}

template <class Holder>
std::shared_ptr<ModuleList<Holder>> make_list() {
  return std::make_shared<ModuleList<Holder>>();
}

at::Tensor through_layers(const at::Tensor& x, const ModuleList<ResnetBlock2D>& resnets,
                          const ModuleList<Attention>& attentions) {
  at::Tensor hidden = x;
  for (std::size_t i = 0; i < resnets.size(); ++i) {
    hidden = resnets[i]->forward(hidden);
    if (!attentions.empty()) hidden = attentions[i]->forward(hidden);
  }
  return hidden;
}

}  // namespace

DownEncoderBlock2DImpl::DownEncoderBlock2DImpl(std::int64_t in_channels, std::int64_t out_channels,
                                               std::int64_t num_layers, bool add_attention,
                                               bool add_downsample,
                                               const VaeBlockOptions& options) {
  resnets = register_module("resnets", make_list<ResnetBlock2D>());
  attentions = register_module("attentions", make_list<Attention>());
  downsamplers = register_module("downsamplers", make_list<Downsample2D>());
  for (std::int64_t i = 0; i < num_layers; ++i) {
    resnets->append(make_resnet(i == 0 ? in_channels : out_channels, out_channels, options));
    if (add_attention) attentions->append(make_attention(out_channels, options));
  }
  if (add_downsample) downsamplers->append(Downsample2D(out_channels, true, out_channels, 0));
}

at::Tensor DownEncoderBlock2DImpl::forward(const at::Tensor& x) const {
  at::Tensor hidden = through_layers(x, *resnets, *attentions);
  for (const Downsample2D& downsampler : *downsamplers) hidden = downsampler->forward(hidden);
  return hidden;
}

UpDecoderBlock2DImpl::UpDecoderBlock2DImpl(std::int64_t in_channels, std::int64_t out_channels,
                                           std::int64_t num_layers, bool add_attention,
                                           bool add_upsample, const VaeBlockOptions& options) {
  resnets = register_module("resnets", make_list<ResnetBlock2D>());
  attentions = register_module("attentions", make_list<Attention>());
  upsamplers = register_module("upsamplers", make_list<Upsample2D>());
  for (std::int64_t i = 0; i < num_layers; ++i) {
    resnets->append(make_resnet(i == 0 ? in_channels : out_channels, out_channels, options));
    if (add_attention) attentions->append(make_attention(out_channels, options));
  }
  if (add_upsample) upsamplers->append(Upsample2D(out_channels, true, out_channels));
}

at::Tensor UpDecoderBlock2DImpl::forward(const at::Tensor& x) const {
  at::Tensor hidden = through_layers(x, *resnets, *attentions);
  for (const Upsample2D& upsampler : *upsamplers) hidden = upsampler->forward(hidden);
  return hidden;
}

VaeMidBlock2DImpl::VaeMidBlock2DImpl(std::int64_t channels, bool add_attention,
                                     const VaeBlockOptions& options) {
  attentions = register_module("attentions", make_list<Attention>());
  resnets = register_module("resnets", make_list<ResnetBlock2D>());
  if (add_attention) attentions->append(make_attention(channels, options));
  for (int i = 0; i < 2; ++i) resnets->append(make_resnet(channels, channels, options));
}

at::Tensor VaeMidBlock2DImpl::forward(const at::Tensor& x) const {
  at::Tensor hidden = (*resnets)[0]->forward(x);
  for (const Attention& attention : *attentions) hidden = attention->forward(hidden);
  return (*resnets)[1]->forward(hidden);
}

}  // namespace ldm::nn
