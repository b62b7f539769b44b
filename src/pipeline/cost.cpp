#include "ldm/pipeline/cost.h"

#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <string_view>

#include "ldm/core/stopwatch.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/control.h"

namespace ldm {
namespace {

constexpr double kLibraries = 350e6;

double bytes_of(c10::ScalarType dtype) { return static_cast<double>(c10::elementSize(dtype)); }

double weight_bytes(const LazyModule& part) {
  return static_cast<double>(part.parameter_count()) * bytes_of(part.execution().dtype);
}

/// Of the UNet on its device.
double unet_weight_bytes(const Components& c, const Request& request) {
  const bool streamed = request.low_memory && c.execution.device.is_cuda();
  return streamed ? static_cast<double>(c.unet.streamed_bytes()) : weight_bytes(c.unet);
}

/// Live activations of a UNet call: measured as about nine tensors of the first level's width, the
/// skip connections among them.
double unet_activations(const Components& c, const Plan& plan) {
  const double images = plan.request.batch_size * static_cast<double>(plan.most_branches());
  const double pixels = static_cast<double>(plan.latent_shape[1] * plan.latent_shape[2]);
  const auto width = static_cast<double>(c.unet.bare().shape().block_out_channels.front());
  return 9.0 * images * pixels * width * bytes_of(c.unet.execution().dtype);
}

/// The decoder's last level at full resolution: about four tensors of its next-to-last width.
double decoder_activations(const Components& c, const Plan& plan) {
  const models::AutoencoderShape shape = c.vae.bare().shape();
  const double pixels = static_cast<double>(plan.request.width) * plan.request.height;
  const std::size_t level = std::min<std::size_t>(1, shape.block_out_channels.size() - 1);
  const auto width = static_cast<double>(shape.block_out_channels[level]);
  return 4.0 * pixels * width * bytes_of(c.vae.execution().dtype);
}

bool contains(const std::string& key, std::string_view part) {
  return key.find(part) != std::string::npos;
}

/// Which halving of the picture a parameter works at: down_blocks.I and up_blocks.(last - I).
int level_of(const std::string& key, int levels) {
  const auto number_after = [&key](std::string_view prefix) {
    const std::size_t at = key.find(prefix);
    return at == std::string::npos ? -1 : key[at + prefix.size()] - '0';
  };
  if (const int down = number_after("down_blocks."); down >= 0) return down;
  if (const int up = number_after("up_blocks."); up >= 0) {
    return levels - 1 - up - (contains(key, "upsamplers") ? 1 : 0);
  }
  return key.find("mid_block") == std::string::npos ? 0 : levels - 1;
}

/// Rows of x that a UNet weight multiplies: pixels of its level, text tokens, or one.
double rows_of(const std::string& key, double pixels) {
  if (contains(key, "time_emb") || contains(key, "embedding")) return 1;
  if (contains(key, "attn2.to_k") || contains(key, "attn2.to_v")) return 77;
  return pixels;
}

/// Multiply-adds count as two operations; matrices and convolution kernels only.
double layer_flops(const at::Tensor& weight, double rows) {
  return weight.dim() < 2 ? 0.0 : 2.0 * rows * static_cast<double>(weight.numel());
}

double pixels_at(std::int64_t h, std::int64_t w, int level) {
  return static_cast<double>(h * w) / static_cast<double>(1LL << (2 * level));
}

/// Operations a second of a matrix product in the execution's dtype on its device.
double matrix_rate(const Execution& execution) {
  constexpr std::int64_t kSide = 1024;
  const auto options = at::TensorOptions().device(execution.device).dtype(execution.dtype);
  const at::Tensor a = at::ones({kSide, kSide}, options);
  double best = 0;
  for (int trial = 0; trial < 4; ++trial) {
    const Stopwatch watch;
    // Reading one element back waits for the device.
    at::matmul(a, a)[0][0].item();
    best = std::max(best, 2.0 * kSide * kSide * kSide / watch.seconds());
  }
  return best;
}

/// Of a UNet, or of a first half of one.
double network_flops(const torch::nn::Module& network, int levels, std::int64_t h, std::int64_t w) {
  double flops = 0;
  for (const auto& item : network.named_parameters()) {
    const double pixels = pixels_at(h, w, level_of(item.key(), levels));
    flops += layer_flops(item.value(), rows_of(item.key(), pixels));
    // Self-attention: scores and weighted sum over all pairs of pixels, of the width of to_q.
    if (contains(item.key(), "attn1.to_q.weight")) {
      flops += 4.0 * pixels * pixels * static_cast<double>(item.value().size(0));
    }
  }
  return flops;
}

/// Of all ControlNets at every call of a plan, for one image.
double control_flops(const Components& c, const Plan& plan) {
  double a_prediction = 0;
  for (const auto& part : c.controlnets) {
    const models::ControlNetModelImpl& net = part->net.bare();
    a_prediction += network_flops(net, static_cast<int>(net.config.levels()), plan.latent_shape[1],
                                  plan.latent_shape[2]);
  }
  double predictions = 0;
  for (int k = 0; k < plan.steps; ++k) {
    if (controls_at(plan, k)) predictions += plan.predictions_at(k);
  }
  return predictions * a_prediction;
}

}  // namespace

int images_that_fit(const Components& c, double free_bytes) {
  constexpr double kMostImages = 16;
  constexpr std::int64_t kUnknownSide = 64;
  Plan one;
  const std::int64_t side = c.unet.bare().shape().sample_size;
  one.latent_shape = {c.vae.bare().shape().latent_channels, side > 0 ? side : kUnknownSide,
                      side > 0 ? side : kUnknownSide};
  one.branches = 2;
  // Half of it: allocators keep what they had, and a picture may be larger.
  const double room = free_bytes / 2 - weight_bytes(c.unet) - weight_bytes(c.vae);
  return static_cast<int>(std::clamp(room / unet_activations(c, one), 1.0, kMostImages));
}

double unet_flops(const models::DenoiserImpl& unet, std::int64_t h, std::int64_t w) {
  return network_flops(unet, static_cast<int>(unet.shape().block_out_channels.size()), h, w);
}

double decoder_flops(const models::AutoencoderImpl& vae, std::int64_t h, std::int64_t w) {
  const auto levels = static_cast<int>(vae.shape().block_out_channels.size());
  double flops = 0;
  for (const auto& item : vae.named_parameters()) {
    if (!item.key().starts_with("decoder.")) continue;
    // Sizes double from the latents' upwards: level 0 is the picture, the last the latents.
    const bool at_latents = contains(item.key(), "conv_in") || contains(item.key(), "mid_block");
    const int level = at_latents ? levels - 1 : level_of(item.key(), levels);
    flops += layer_flops(item.value(), pixels_at(h << (levels - 1), w << (levels - 1), level));
  }
  return flops;
}

std::map<std::string, double> parameter_counts(const Components& c) {
  std::map<std::string, double> counts;
  const auto add = [&counts](const LazyModule& part) {
    counts[part.name()] = static_cast<double>(part.parameter_count());
  };
  add(c.unet);
  add(c.vae);
  for (const auto& part : c.controlnets) add(part->net);
  if (c.text_encoder) add(*c.text_encoder);
  return counts;
}

PictureCost picture_cost(const Components& c, const Plan& plan) {
  const std::int64_t h = plan.latent_shape[1];
  const std::int64_t w = plan.latent_shape[2];
  const PictureCost cost = {
      plan.predictions() * unet_flops(c.unet.bare(), h, w) + control_flops(c, plan),
      decoder_flops(c.vae.bare(), h, w)};
  if (!plan.second_pass) return cost;
  const PictureCost larger = picture_cost(c, *plan.second_pass);
  // The first pass is decoded, and about as much again is encoded, where the picture is enlarged.
  const double between = plan.request.hires->by_image ? cost.decode + larger.decode : 0;
  return {cost.steps + larger.steps, larger.decode + between, larger.steps};
}

double estimate_seconds(const Components& c, const Plan& plan) {
  const PictureCost image = picture_cost(c, plan);
  return plan.request.num_images * (image.steps + image.decode) / matrix_rate(c.execution);
}

double estimate_memory(const Components& c, const Plan& plan) {
  const double text = c.text_encoder ? weight_bytes(*c.text_encoder) : 0.0;
  double unet = unet_weight_bytes(c, plan.request);
  for (const auto& part : c.controlnets) unet += weight_bytes(part->net);
  const double vae = weight_bytes(c.vae);
  const double kept = plan.request.low_memory ? 0.0 : unet;
  if (plan.second_pass) {
    Plan larger = *plan.second_pass;
    larger.request.batch_size = plan.request.batch_size;
    return estimate_memory(c, larger);
  }
  return kLibraries + std::max({text, unet + unet_activations(c, plan),
                                kept + vae + decoder_activations(c, plan)});
}

}  // namespace ldm
