#include "ldm/pipeline/cost.h"

#include <torch/nn/module.h>

#include <algorithm>

#include "ldm/loading/components.h"

namespace ldm {
namespace {

constexpr double kLibraries = 350e6;

double bytes_of(c10::ScalarType dtype) { return static_cast<double>(c10::elementSize(dtype)); }

double weight_bytes(const torch::nn::Module& module, c10::ScalarType dtype) {
  double elements = 0;
  for (const at::Tensor& parameter : module.parameters()) {
    elements += static_cast<double>(parameter.numel());
  }
  return elements * bytes_of(dtype);
}

/// Live activations of a UNet call: measured as about nine tensors of the first level's width, the
/// skip connections among them.
double unet_activations(const Components& c, const Plan& plan) {
  const double images = plan.request.batch_size * (plan.guided ? 2.0 : 1.0);
  const double pixels = static_cast<double>(plan.latent_shape[1] * plan.latent_shape[2]);
  const auto width = static_cast<double>(c.unet.bare()->config.block_out_channels.front());
  return 9.0 * images * pixels * width * bytes_of(c.unet.execution().dtype);
}

/// The decoder's last level at full resolution: about four tensors of its next-to-last width.
double decoder_activations(const Components& c, const Plan& plan) {
  const auto& config = c.vae.bare()->config;
  const double pixels = static_cast<double>(plan.request.width) * plan.request.height;
  const std::size_t level = std::min<std::size_t>(1, config.block_out_channels.size() - 1);
  const auto width = static_cast<double>(config.block_out_channels[level]);
  return 4.0 * pixels * width * bytes_of(c.vae.execution().dtype);
}

}  // namespace

double estimate_memory(const Components& c, const Plan& plan) {
  const double text = weight_bytes(*c.text_encoder.bare(), c.text_encoder.execution().dtype);
  const double unet = weight_bytes(*c.unet.bare(), c.unet.execution().dtype);
  const double vae = weight_bytes(*c.vae.bare(), c.vae.execution().dtype);
  const double kept = plan.request.low_memory ? 0.0 : unet;
  return kLibraries + std::max({text, unet + unet_activations(c, plan),
                                kept + vae + decoder_activations(c, plan)});
}

}  // namespace ldm
