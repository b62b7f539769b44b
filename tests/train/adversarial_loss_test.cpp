#include "ldm/train/adversarial_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/optim/adam.h>

#include <map>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/nn/layers.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using namespace ldm::train;
using ldm::models::NLayerDiscriminator;
using ldm::test::digest;
using ldm::test::expect_close;
using ldm::test::expect_digests;
using ldm::test::Golden;
using ldm::test::gradients_of;
using ldm::test::seeded_randn;

NLayerDiscriminator make_discriminator(std::int64_t n_layers) {
  NLayerDiscriminator discriminator(
      ldm::models::PatchDiscriminatorConfig{.ndf = 8, .n_layers = n_layers});
  ldm::test::fill_by_formula(*discriminator, 100);
  return discriminator;
}

std::vector<at::Tensor> parameters_by_name(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : module.named_parameters()) by_name.emplace(item.key(), item.value());
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : by_name) values.push_back(value);
  return values;
}

std::vector<at::Tensor> defined(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> kept;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) kept.push_back(tensor);
  }
  return kept;
}

torch::optim::Adam make_adam(const torch::nn::Module& module) {
  return torch::optim::Adam(module.parameters(), torch::optim::AdamOptions(2e-3).betas({0.5, 0.9}));
}

}  // namespace

TEST_CASE("the discriminator's losses and gradients equal taming-transformers'", "[golden]") {
  const Golden golden("adversarial");
  const std::string name = GENERATE("hinge", "vanilla");
  const NLayerDiscriminator discriminator = make_discriminator(3);
  const AdversarialConfig config{.disc_loss = name, .disc_start = 0};
  const DiscriminatorTerm term =
      discriminator_term(config, discriminator, seeded_randn({2, 3, 32, 32}, 2),
                         seeded_randn({2, 3, 32, 32}, 3), /*step=*/0);
  term.loss.backward();
  expect_close(term.loss, golden.at(name + ".loss"), 1e-5, name);
  expect_digests(digest(gradients_of(*discriminator)), golden.at(name + ".grads"), 5e-5, name);
}

TEST_CASE("the R1 penalty and its gradients equal PyTorch's", "[golden]") {
  const Golden golden("adversarial");
  const NLayerDiscriminator discriminator = make_discriminator(3);
  const at::Tensor real = seeded_randn({2, 3, 32, 32}, 2).requires_grad_(true);
  const at::Tensor penalty = r1_penalty(real, discriminator->forward(real), 10.0);
  penalty.backward();
  expect_close(penalty, golden.at("r1.loss"), 1e-5);
  expect_digests(digest(defined(gradients_of(*discriminator))), golden.at("r1.grads"), 1e-5);
}

TEST_CASE("ten steps of both players follow PyTorch's", "[golden]") {
  const Golden golden("adversarial");
  const NLayerDiscriminator discriminator = make_discriminator(2);
  ldm::nn::Conv2d decoder(4, 3, 3, 1, 1);
  ldm::test::fill_by_formula(*decoder, 200);
  const AdversarialConfig config{
      .disc_start = 3, .disc_weight = 0.8, .r1_gamma = 0.01, .r1_interval = 2};
  torch::optim::Adam decoder_adam = make_adam(*decoder);
  torch::optim::Adam discriminator_adam = make_adam(*discriminator);
  std::vector<at::Tensor> rows;
  for (int step = 0; step < 10; ++step) {
    const auto number = static_cast<std::uint64_t>(step);
    const at::Tensor real = seeded_randn({2, 3, 16, 16}, 300 + number).clamp(-1, 1);
    const at::Tensor fake = decoder->forward(seeded_randn({2, 4, 16, 16}, 400 + number));
    const at::Tensor nll = (real - fake).abs().mean();
    const GeneratorTerm generator =
        generator_term(config, discriminator, fake, nll, decoder->weight, step);
    decoder_adam.zero_grad();
    (nll + generator.loss).backward();
    decoder_adam.step();
    const DiscriminatorTerm term = discriminator_term(config, discriminator, real, fake, step);
    if (config.active(step)) {
      discriminator_adam.zero_grad();
      term.loss.backward();
      discriminator_adam.step();
    }
    rows.push_back(at::stack(
        {nll.detach(), generator.g_loss, generator.adaptive, term.loss.detach(), term.r1}));
  }
  const at::Tensor expected = golden.at("curve");
  const at::Tensor actual = at::stack(rows);
  for (std::int64_t i = 0; i < expected.size(1); ++i) {
    expect_close(actual.select(1, i), expected.select(1, i), 1e-4, "column " + std::to_string(i));
  }
  expect_digests(digest(parameters_by_name(*decoder)), golden.at("curve.decoder"), 1e-4);
  expect_digests(digest(parameters_by_name(*discriminator)), golden.at("curve.discriminator"),
                 1e-4);
}

TEST_CASE("before its first step the adversarial part is zero and touches nothing") {
  const NLayerDiscriminator discriminator = make_discriminator(1);
  const AdversarialConfig config{.disc_start = 10};
  const at::Tensor x = seeded_randn({1, 3, 16, 16}, 1);
  const at::Tensor weight = at::zeros({1}).requires_grad_(true);
  const GeneratorTerm generator =
      generator_term(config, discriminator, x, weight.sum(), weight, /*step=*/9);
  CHECK(generator.loss.item<double>() == 0);
  CHECK_FALSE(generator.loss.requires_grad());
  const DiscriminatorTerm term = discriminator_term(config, discriminator, x, x, /*step=*/9);
  CHECK(term.loss.item<double>() == 0);
  CHECK(discriminator->named_buffers()["main.3.num_batches_tracked"].item<std::int64_t>() == 0);
}

TEST_CASE("the adaptive weight takes averaged gradients and has a greatest value") {
  const at::Tensor w = at::zeros({2}).requires_grad_(true);
  const at::Tensor nll = (w * 3.0).sum();
  CHECK(adaptive_weight(nll, w.sum(), w).item<double>() == Approx(3.0).epsilon(1e-3));
  CHECK(adaptive_weight(nll * 1e9, w.sum(), w).item<double>() == 1e4);
  int calls = 0;
  const at::Tensor scaled = adaptive_weight(nll, w.sum(), w, [&calls](at::Tensor& gradient) {
    if (calls++ == 0) gradient.mul_(2.0);
  });
  CHECK(calls == 2);
  CHECK(scaled.item<double>() == Approx(6.0).epsilon(1e-3));
}

TEST_CASE("an adversarial config out of range is refused") {
  const auto code_of = [](const AdversarialConfig& config) {
    try {
      config.validate();
    } catch (const ldm::Error& error) {
      return error.exit_code();
    }
    return 0;
  };
  CHECK(code_of({}) == 0);
  CHECK(code_of({.disc_loss = "wasserstein"}) == 3);
  CHECK(code_of({.disc_start = -1}) == 3);
  CHECK(code_of({.disc_weight = -0.5}) == 3);
  CHECK(code_of({.r1_gamma = -1}) == 3);
  CHECK(code_of({.r1_interval = 0}) == 3);
}
