#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ldm/nn/sequence.h"

namespace ldm::models {

/// The shape of a PatchGAN discriminator; the defaults are those of the published autoencoders.
struct PatchDiscriminatorConfig {
  std::int64_t input_nc = 3;        ///< channels of the pictures
  std::int64_t ndf = 64;            ///< channels after the first convolution
  std::int64_t n_layers = 3;        ///< halvings of the size
  std::string norm_type = "batch";  ///< "batch", as published; "group": no state, no other samples

  template <class V>
  void visit(V&& v) {
    v("input_nc", input_nc);
    v("ndf", ndf);
    v("n_layers", n_layers);
    v("norm_type", norm_type);
  }

  /// Throws Error::model naming the first field that is out of range.
  void validate() const;
};

/// PatchGAN: one logit for each of the overlapping patches of a picture, above zero for real
/// (Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks";
/// `taming.modules.discriminator.model.NLayerDiscriminator` with BatchNorm2d, same names).
struct NLayerDiscriminatorImpl : torch::nn::Module {
  /// Error::model where `discriminator_config` is out of range.
  explicit NLayerDiscriminatorImpl(const PatchDiscriminatorConfig& discriminator_config);
  /// x [B, input_nc, H, W] in [-1, 1] → logits [B, 1, H', W'], H' = H / 2^n_layers - 2.
  at::Tensor forward(const at::Tensor& x) const { return main->forward(x); }

  PatchDiscriminatorConfig config;
  std::shared_ptr<nn::Sequence> main;
};
TORCH_MODULE(NLayerDiscriminator);

/// Gives a new discriminator its random weights: convolutions N(0, 0.02), norm scales N(1, 0.02),
/// norm shifts zero, other biases as `nn::initialize` (taming's `weights_init`).
void initialize_discriminator(NLayerDiscriminatorImpl& discriminator, std::uint64_t seed);

}  // namespace ldm::models
