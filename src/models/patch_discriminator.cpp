#include "ldm/models/patch_discriminator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/leaky_relu.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "ldm/models/config_checks.h"
#include "ldm/nn/batch_norm.h"
#include "ldm/nn/init.h"
#include "ldm/nn/layers.h"

namespace ldm::models {
namespace {

constexpr std::int64_t kKernel = 4;
constexpr std::int64_t kPadding = 1;
constexpr std::int64_t kMaxFactor = 8;
constexpr std::int64_t kMaxGroups = 32;

void append_norm(nn::Sequence& main, const std::string& norm_type, std::int64_t channels) {
  if (norm_type == "batch") {
    main.append(nn::BatchNorm2d(channels));
  } else {
    std::int64_t groups = std::min(kMaxGroups, channels);
    while (channels % groups != 0) --groups;
    main.append(nn::GroupNorm(groups, channels, 1e-5));
  }
}

void append_leaky_relu(nn::Sequence& main) {
  main.append_function([](const at::Tensor& x) { return at::leaky_relu(x, 0.2); });
}

}  // namespace

void PatchDiscriminatorConfig::validate() const {
  constexpr ConfigChecks check{"discriminator"};
  check.range("input_nc", input_nc, 1, kMaxWidth);
  check.range("ndf", ndf, 1, kMaxWidth / kMaxFactor);
  check.range("n_layers", n_layers, 1, kMaxLevels);
  check.one_of("norm_type", norm_type, {"batch", "group"});
}

NLayerDiscriminatorImpl::NLayerDiscriminatorImpl(
    const PatchDiscriminatorConfig& discriminator_config)
    : config(discriminator_config) {
  config.validate();
  main = register_module("main", std::make_shared<nn::Sequence>());
  main->append(nn::Conv2d(config.input_nc, config.ndf, kKernel, 2, kPadding));
  append_leaky_relu(*main);
  std::int64_t channels = config.ndf;
  for (std::int64_t level = 1; level <= config.n_layers; ++level) {
    const std::int64_t factor = std::min(std::int64_t{1} << level, kMaxFactor);
    const std::int64_t stride = level < config.n_layers ? 2 : 1;
    // The norm's shift takes the bias' place.
    main->append(
        nn::Conv2d(channels, config.ndf * factor, kKernel, stride, kPadding, /*bias=*/false));
    channels = config.ndf * factor;
    append_norm(*main, config.norm_type, channels);
    append_leaky_relu(*main);
  }
  main->append(nn::Conv2d(channels, 1, kKernel, 1, kPadding));
}

void initialize_discriminator(NLayerDiscriminatorImpl& discriminator, std::uint64_t seed) {
  nn::initialize(discriminator, seed);
  const c10::AutoGradMode no_grad(false);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const auto& item : discriminator.main->named_parameters()) {
    if (!item.key().ends_with("weight")) continue;
    at::Tensor weight = item.value();
    weight.normal_(weight.dim() == 4 ? 0.0 : 1.0, 0.02, generator);
  }
}

}  // namespace ldm::models
