#include "ldm/train/adversarial_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

constexpr double kNormEpsilon = 1e-4;
constexpr double kMaxWeight = 1e4;

at::Tensor gradient_norm(const at::Tensor& loss, const at::Tensor& parameter,
                         const AverageTensor& average) {
  at::Tensor gradient = torch::autograd::grad({loss}, {parameter}, {}, /*retain_graph=*/true)[0];
  if (average) average(gradient);
  return at::linalg_vector_norm(gradient, 2, c10::nullopt, false, at::kFloat);
}

void require(bool holds, const char* field, const char* range) {
  if (!holds) throw Error::input(cat("adversarial loss: ", field, " must be ", range));
}

}  // namespace

at::Tensor hinge_d_loss(const at::Tensor& logits_real, const at::Tensor& logits_fake) {
  return (at::relu(1.0 - logits_real).mean() + at::relu(1.0 + logits_fake).mean()) * 0.5;
}

at::Tensor vanilla_d_loss(const at::Tensor& logits_real, const at::Tensor& logits_fake) {
  return (at::softplus(-logits_real).mean() + at::softplus(logits_fake).mean()) * 0.5;
}

at::Tensor generator_loss(const at::Tensor& logits_fake) { return -logits_fake.mean(); }

at::Tensor adaptive_weight(const at::Tensor& nll_loss, const at::Tensor& g_loss,
                           const at::Tensor& last_layer, const AverageTensor& average) {
  const at::Tensor nll_norm = gradient_norm(nll_loss, last_layer, average);
  const at::Tensor g_norm = gradient_norm(g_loss, last_layer, average);
  return (nll_norm / (g_norm + kNormEpsilon)).clamp(0.0, kMaxWeight).detach();
}

at::Tensor r1_penalty(const at::Tensor& real, const at::Tensor& logits_real, double gamma) {
  const at::Tensor gradient =
      torch::autograd::grad({logits_real.sum()}, {real}, {},
                            /*retain_graph=*/true, /*create_graph=*/true)[0];
  return gradient.square().sum({1, 2, 3}).mean() * (gamma / 2);
}

void AdversarialConfig::validate() const {
  require(disc_loss == "hinge" || disc_loss == "vanilla", "disc_loss", "\"hinge\" or \"vanilla\"");
  require(disc_start >= 0, "disc_start", "0 or above");
  require(std::isfinite(disc_factor) && disc_factor >= 0, "disc_factor", "0 or above");
  require(std::isfinite(disc_weight) && disc_weight >= 0, "disc_weight", "0 or above");
  require(std::isfinite(r1_gamma) && r1_gamma >= 0, "r1_gamma", "0 or above");
  require(r1_interval >= 1, "r1_interval", "1 or above");
}

GeneratorTerm generator_term(const AdversarialConfig& config,
                             const models::NLayerDiscriminator& discriminator,
                             const at::Tensor& reconstruction, const at::Tensor& nll_loss,
                             const at::Tensor& last_layer, std::int64_t step,
                             const AverageTensor& average) {
  const at::Tensor zero = at::zeros({}, nll_loss.options().requires_grad(false));
  if (!config.active(step)) return {zero, zero, zero};
  const at::Tensor g_loss = generator_loss(discriminator->forward(reconstruction));
  const at::Tensor weight = config.adaptive ? adaptive_weight(nll_loss, g_loss, last_layer, average)
                                            : at::ones({}, zero.options());
  return {g_loss * weight * (config.disc_factor * config.disc_weight), g_loss.detach(), weight};
}

DiscriminatorTerm discriminator_term(const AdversarialConfig& config,
                                     const models::NLayerDiscriminator& discriminator,
                                     const at::Tensor& real, const at::Tensor& reconstruction,
                                     std::int64_t step) {
  const at::Tensor zero = at::zeros({}, real.options().requires_grad(false));
  if (!config.active(step)) return {zero, zero, zero, zero};
  const bool penalised = config.r1_gamma > 0 && step % config.r1_interval == 0;
  at::Tensor pictures = real.detach();
  if (penalised) pictures.requires_grad_(true);
  const at::Tensor logits_real = discriminator->forward(pictures);
  const at::Tensor logits_fake = discriminator->forward(reconstruction.detach());
  const at::Tensor players = config.disc_loss == "hinge" ? hinge_d_loss(logits_real, logits_fake)
                                                         : vanilla_d_loss(logits_real, logits_fake);
  DiscriminatorTerm term{players * config.disc_factor, logits_real.detach().mean(),
                         logits_fake.detach().mean(), zero};
  if (penalised) {
    const double gamma = config.r1_gamma * static_cast<double>(config.r1_interval);
    const at::Tensor r1 = r1_penalty(pictures, logits_real, gamma);
    term.loss = term.loss + r1;
    term.r1 = r1.detach();
  }
  return term;
}

}  // namespace ldm::train
