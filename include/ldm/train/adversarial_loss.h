#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "ldm/models/patch_discriminator.h"

namespace ldm::train {

/// Makes a tensor of this process the mean over all processes, in place.
using AverageTensor = std::function<void(at::Tensor&)>;

/// ½ (mean max(0, 1 - real) + mean max(0, 1 + fake)) of logits of any shape → scalar (Lim & Ye
/// 2017; taming's `hinge_d_loss`).
at::Tensor hinge_d_loss(const at::Tensor& logits_real, const at::Tensor& logits_fake);

/// ½ (mean softplus(-real) + mean softplus(fake)) of logits of any shape → scalar (Goodfellow et
/// al. 2014; taming's `vanilla_d_loss`).
at::Tensor vanilla_d_loss(const at::Tensor& logits_real, const at::Tensor& logits_fake);

/// What the decoder minimises: -mean(fake) → scalar.
at::Tensor generator_loss(const at::Tensor& logits_fake);

/// ‖∂nll/∂w‖ / (‖∂g/∂w‖ + 1e-4) within [0, 1e4], w the decoder's last convolution weight: how much
/// the adversarial gradient must be scaled to weigh as much as the reconstruction's (Esser et al.
/// 2021, equation 7; taming's `calculate_adaptive_weight` before its disc_weight). A scalar without
/// a gradient; both losses' graphs are kept. `average` is applied to both gradients first.
at::Tensor adaptive_weight(const at::Tensor& nll_loss, const at::Tensor& g_loss,
                           const at::Tensor& last_layer, const AverageTensor& average = {});

/// R1 = γ/2 · mean over pictures of ‖∇D(x)‖² → scalar with a graph (Mescheder et al. 2018, equation
/// 9). `real` [B, C, H, W] must want a gradient and `logits_real` be D(real).
at::Tensor r1_penalty(const at::Tensor& real, const at::Tensor& logits_real, double gamma);

/// The adversarial part of an autoencoder's run, with the public configs' names and defaults
/// (`taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator`).
struct AdversarialConfig {
  std::string disc_loss = "hinge";  ///< "hinge" or "vanilla"
  std::int64_t disc_start = 50001;  ///< the first step that has an adversarial part
  double disc_factor = 1.0;         ///< scales both players' losses
  double disc_weight = 0.5;         ///< scales the decoder's beside the adaptive weight
  bool adaptive = true;             ///< false: an adaptive weight of one
  double r1_gamma = 0.0;            ///< strength of the R1 penalty; 0: none
  std::int64_t r1_interval = 1;     ///< steps between penalties, each that much stronger

  template <class V>
  void visit(V&& v) {
    v("disc_loss", disc_loss);
    v("disc_start", disc_start);
    v("disc_factor", disc_factor);
    v("disc_weight", disc_weight);
    v("adaptive", adaptive);
    v("r1_gamma", r1_gamma);
    v("r1_interval", r1_interval);
  }

  /// Throws Error::input naming the first field that is out of range.
  void validate() const;

  /// Whether `step` has an adversarial part; without one both terms are a zero without a graph.
  bool active(std::int64_t step) const { return step >= disc_start && disc_factor > 0; }
};

/// The decoder's share. All scalars; those not named loss carry no gradient.
struct GeneratorTerm {
  at::Tensor loss;      ///< disc_factor · disc_weight · adaptive weight · g_loss: add to the nll
  at::Tensor g_loss;    ///< -mean D(x̂)
  at::Tensor adaptive;  ///< the adaptive weight
};

/// `reconstruction` [B, C, H, W] with the decoder's graph; `nll_loss` the scalar it is trained with
/// otherwise. The discriminator's own parameters should not want gradients meanwhile.
GeneratorTerm generator_term(const AdversarialConfig& config,
                             const models::NLayerDiscriminator& discriminator,
                             const at::Tensor& reconstruction, const at::Tensor& nll_loss,
                             const at::Tensor& last_layer, std::int64_t step,
                             const AverageTensor& average = {});

/// The discriminator's own loss. All scalars; those not named loss carry no gradient.
struct DiscriminatorTerm {
  at::Tensor loss;         ///< disc_factor · disc_loss + R1: its optimizer's whole loss
  at::Tensor logits_real;  ///< their mean
  at::Tensor logits_fake;  ///< their mean
  at::Tensor r1;           ///< the penalty within the loss
};

/// `real` and `reconstruction` [B, C, H, W]; neither gets a gradient.
DiscriminatorTerm discriminator_term(const AdversarialConfig& config,
                                     const models::NLayerDiscriminator& discriminator,
                                     const at::Tensor& real, const at::Tensor& reconstruction,
                                     std::int64_t step);

}  // namespace ldm::train
