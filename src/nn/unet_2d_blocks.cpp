#include "ldm/nn/unet_2d_blocks.h"

#include <ATen/ops/cat.h>

#include <array>
#include <cstddef>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/nn/recompute.h"

namespace ldm::nn {
namespace {

ResnetBlock2DOptions resnet_options(const UNetBlockOptions& options, std::int64_t in,
                                    std::int64_t out) {
  ResnetBlock2DOptions resnet;
  resnet.in_channels = in;
  resnet.out_channels = out;
  resnet.temb_channels = options.temb_channels;
  resnet.groups = options.resnet_groups;
  resnet.eps = options.resnet_eps;
  resnet.non_linearity = options.resnet_act_fn;
  resnet.time_embedding_norm = options.resnet_time_scale_shift;
  resnet.output_scale_factor = options.output_scale_factor;
  return resnet;
}

ResnetBlock2D make_resnet(const UNetBlockOptions& options, std::int64_t in, std::int64_t out) {
  return ResnetBlock2D(resnet_options(options, in, out));
}

/// The list of one ResnetBlock2D that halves or doubles the size.
std::shared_ptr<ModuleList<ResnetBlock2D>> make_resnet_sampler(const UNetBlockOptions& options,
                                                               bool up) {
  ResnetBlock2DOptions resnet = resnet_options(options, options.out_channels, options.out_channels);
  resnet.up = up;
  resnet.down = !up;
  auto list = std::make_shared<ModuleList<ResnetBlock2D>>();
  list->append(ResnetBlock2D(resnet));
  return list;
}

Attention make_self_attention(const UNetBlockOptions& options, std::int64_t channels,
                              std::int64_t norm_num_groups) {
  AttentionOptions attention;
  attention.query_dim = channels;
  attention.heads = channels / options.attention_head_dim;
  attention.dim_head = options.attention_head_dim;
  attention.bias = true;
  attention.norm_num_groups = norm_num_groups;
  attention.eps = options.resnet_eps;
  attention.residual_connection = true;
  attention.rescale_output_factor = options.output_scale_factor;
  return Attention(attention);
}

Transformer2DModel make_transformer(const UNetBlockOptions& options, std::int64_t channels) {
  Transformer2DOptions transformer;
  transformer.in_channels = channels;
  transformer.num_attention_heads = options.num_attention_heads;
  transformer.attention_head_dim = channels / options.num_attention_heads;
  transformer.num_layers = options.transformer_layers;
  transformer.cross_attention_dim = options.cross_attention_dim;
  transformer.norm_num_groups = options.resnet_groups;
  transformer.use_linear_projection = options.use_linear_projection;
  transformer.only_cross_attention = options.only_cross_attention;
  return Transformer2DModel(transformer);
}

}  // namespace

void BlockAttentionsImpl::append(const UNetBlockOptions& options, std::int64_t channels,
                                 std::int64_t norm_num_groups) {
  const std::string slot = std::to_string(self.size() + cross.size());
  if (options.attention == BlockAttention::kSelf) {
    self.push_back(register_module(slot, make_self_attention(options, channels, norm_num_groups)));
  } else {
    cross.push_back(register_module(slot, make_transformer(options, channels)));
  }
}

at::Tensor BlockAttentionsImpl::forward(std::size_t i, const at::Tensor& x,
                                        const at::Tensor& encoder_hidden_states) const {
  return cross.empty() ? self[i]->forward(x) : cross[i]->forward(x, encoder_hidden_states);
}

DownBlock2DImpl::DownBlock2DImpl(const UNetBlockOptions& options) {
  const std::int64_t out = options.out_channels;
  resnets = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
  if (options.attention != BlockAttention::kNone) {
    attentions = register_module("attentions", BlockAttentions());
  }
  for (std::int64_t i = 0; i < options.num_layers; ++i) {
    resnets->append(make_resnet(options, i == 0 ? options.in_channels : out, out));
    if (attentions) attentions->append(options, out, options.resnet_groups);
  }
  if (!options.add_sampler) return;
  if (options.resnet_sampler) {
    resnet_downsamplers = register_module("downsamplers", make_resnet_sampler(options, false));
    return;
  }
  downsamplers = register_module("downsamplers", std::make_shared<ModuleList<Downsample2D>>());
  downsamplers->append(Downsample2D(out, true, out, options.downsample_padding));
}

std::vector<at::Tensor> DownBlock2DImpl::forward(const at::Tensor& x, const at::Tensor& temb,
                                                 const at::Tensor& encoder_hidden_states) const {
  std::vector<at::Tensor> outputs;
  at::Tensor hidden = x;
  for (std::size_t i = 0; i < resnets->size(); ++i) {
    hidden = (*resnets)[i]->forward(hidden, temb);
    if (attentions) hidden = attentions->forward(i, hidden, encoder_hidden_states);
    outputs.push_back(hidden);
  }
  if (downsamplers) outputs.push_back((*downsamplers)[0]->forward(hidden));
  if (resnet_downsamplers) outputs.push_back((*resnet_downsamplers)[0]->forward(hidden, temb));
  return outputs;
}

UNetMidBlock2DImpl::UNetMidBlock2DImpl(const UNetBlockOptions& options) {
  const std::int64_t channels = options.in_channels;
  std::int64_t attn_groups = options.attn_groups;
  if (attn_groups == 0 && options.resnet_time_scale_shift == "default") {
    attn_groups = options.resnet_groups;
  }
  resnets = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
  resnets->append(make_resnet(options, channels, channels));
  if (options.attention != BlockAttention::kNone) {
    attentions = register_module("attentions", BlockAttentions());
  }
  for (std::int64_t i = 0; i < options.num_layers; ++i) {
    if (attentions) attentions->append(options, channels, attn_groups);
    resnets->append(make_resnet(options, channels, channels));
  }
}

at::Tensor UNetMidBlock2DImpl::forward(const at::Tensor& x, const at::Tensor& temb,
                                       const at::Tensor& encoder_hidden_states) const {
  at::Tensor hidden = (*resnets)[0]->forward(x, temb);
  for (std::size_t i = 1; i < resnets->size(); ++i) {
    if (attentions) hidden = attentions->forward(i - 1, hidden, encoder_hidden_states);
    hidden = (*resnets)[i]->forward(hidden, temb);
  }
  return hidden;
}

UpBlock2DImpl::UpBlock2DImpl(const UNetBlockOptions& options) {
  const std::int64_t out = options.out_channels;
  resnets = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
  if (options.attention != BlockAttention::kNone) {
    attentions = register_module("attentions", BlockAttentions());
  }
  for (std::int64_t i = 0; i < options.num_layers; ++i) {
    // The last layer's skip connection comes from the level above.
    const std::int64_t skip = i == options.num_layers - 1 ? options.in_channels : out;
    const std::int64_t in = i == 0 ? options.prev_output_channel : out;
    resnets->append(make_resnet(options, in + skip, out));
    if (attentions) attentions->append(options, out, options.resnet_groups);
  }
  if (!options.add_sampler) return;
  if (options.resnet_sampler) {
    resnet_upsamplers = register_module("upsamplers", make_resnet_sampler(options, true));
    return;
  }
  upsamplers = register_module("upsamplers", std::make_shared<ModuleList<Upsample2D>>());
  upsamplers->append(Upsample2D(out, true, out));
}

at::Tensor UpBlock2DImpl::forward(const at::Tensor& x, at::TensorList skips, const at::Tensor& temb,
                                  const at::Tensor& encoder_hidden_states,
                                  at::IntArrayRef output_size) const {
  if (skips.size() != resnets->size()) {
    throw Error::internal("an up block of " + std::to_string(resnets->size()) +
                          " layers was given " + std::to_string(skips.size()) +
                          " skip connections");
  }
  at::Tensor hidden = x;
  for (std::size_t i = 0; i < resnets->size(); ++i) {
    if (deep_feature != nullptr && i + 1 == resnets->size()) deep_feature->hidden = hidden;
    hidden = forward_layer(i, hidden, skips[skips.size() - 1 - i], temb, encoder_hidden_states);
  }
  if (resnet_upsamplers) return (*resnet_upsamplers)[0]->forward(hidden, temb);
  return upsamplers ? (*upsamplers)[0]->forward(hidden, output_size) : hidden;
}

at::Tensor UpBlock2DImpl::forward_layer(std::size_t i, const at::Tensor& x, const at::Tensor& skip,
                                        const at::Tensor& temb,
                                        const at::Tensor& encoder_hidden_states) const {
  at::Tensor from_below = x, from_aside = skip;
  if (freeu) {
    from_below = amplify_backbone(from_below, *freeu);
    from_aside = damp_skip(from_aside, *freeu);
  }
  from_aside = repeat_batch(from_aside, from_below.size(0));
  const at::Tensor hidden = (*resnets)[i]->forward(at::cat({from_below, from_aside}, 1), temb);
  return attentions ? attentions->forward(i, hidden, encoder_hidden_states) : hidden;
}

namespace {

/// Runs a block's forward over a time embedding, a text and further inputs, or with recomputation.
struct BlockRunner {
  const at::Tensor& temb;
  const at::Tensor& text;
  bool recomputes;

  std::vector<at::Tensor> operator()(const torch::nn::Module& block, const BlockForward& forward,
                                     std::vector<at::Tensor> inputs) const {
    inputs.insert(inputs.begin(), {temb, text});
    return recomputes ? recompute(block, forward, inputs) : forward(inputs);
  }
};

UNetResiduals run_encoder(const ModuleList<DownBlock2D>& down, const UNetMidBlock2D& mid,
                          const at::Tensor& hidden, const BlockRunner& run) {
  UNetResiduals half;
  std::vector<at::Tensor>& skips = half.skips;
  skips.push_back(hidden);
  for (const auto& block : down) {
    const auto forward = [&module = *block](at::TensorList in) {
      return module.forward(in[2], in[0], in[1]);
    };
    for (auto& output : run(*block, forward, {skips.back()})) skips.push_back(std::move(output));
  }
  half.mid = skips.back();
  if (!mid) return half;
  const auto forward = [&module = *mid](at::TensorList in) {
    return std::vector<at::Tensor>{module.forward(in[2], in[0], in[1])};
  };
  half.mid = run(*mid, forward, {half.mid}).front();
  return half;
}

}  // namespace

UNetResiduals forward_unet_encoder(const ModuleList<DownBlock2D>& down, const UNetMidBlock2D& mid,
                                   const at::Tensor& hidden, const at::Tensor& temb,
                                   const at::Tensor& encoder_hidden_states) {
  return run_encoder(down, mid, hidden, BlockRunner{temb, encoder_hidden_states, false});
}

at::Tensor forward_unet_blocks(const ModuleList<DownBlock2D>& down, const UNetMidBlock2D& mid,
                               const ModuleList<UpBlock2D>& up, const at::Tensor& hidden,
                               const at::Tensor& temb, const at::Tensor& encoder_hidden_states,
                               bool gradient_checkpointing, const UNetResiduals& residuals) {
  const BlockRunner run{temb, encoder_hidden_states, gradient_checkpointing};
  UNetResiduals half = run_encoder(down, mid, hidden, run);
  if (residuals.mid.defined()) half = add_residuals(half, residuals);
  std::vector<at::Tensor>& skips = half.skips;
  std::vector<at::Tensor> current{half.mid};
  for (const auto& block : up) {
    const std::size_t rest = skips.size() - block->resnets->size();
    // Sizes that do not halve evenly must come back as they went down.
    const at::Tensor& target = skips[rest == 0 ? 0 : rest - 1];
    const std::array<std::int64_t, 2> size{target.size(2), target.size(3)};
    const auto forward = [&module = *block, size](at::TensorList in) {
      return std::vector<at::Tensor>{module.forward(in[2], in.slice(3), in[0], in[1], size)};
    };
    current.insert(current.end(), skips.begin() + static_cast<std::ptrdiff_t>(rest), skips.end());
    current = run(*block, forward, std::move(current));
    skips.resize(rest);
  }
  return current.front();
}

}  // namespace ldm::nn
