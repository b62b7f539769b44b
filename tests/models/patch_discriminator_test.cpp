#include "ldm/models/patch_discriminator.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <map>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::NLayerDiscriminator;
using ldm::models::PatchDiscriminatorConfig;
using ldm::test::expect_close;
using ldm::test::seeded_randn;

at::Tensor running_statistics(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : module.named_buffers()) {
    if (item.key().find("running") != std::string::npos) by_name.emplace(item.key(), item.value());
  }
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : by_name) values.push_back(value);
  return at::cat(values);
}

}  // namespace

TEST_CASE("NLayerDiscriminator equals taming-transformers' while training and after", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("adversarial");
  const std::int64_t n_layers = GENERATE(1, 3);
  const std::string layers = std::to_string(n_layers);
  NLayerDiscriminator discriminator(PatchDiscriminatorConfig{.ndf = 8, .n_layers = n_layers});
  ldm::test::fill_by_formula(*discriminator, 100);
  const at::Tensor x = seeded_randn({2, 3, 32, 40}, 1);
  expect_close(discriminator->forward(x), golden.at("train." + layers), 1e-5, "training");
  expect_close(running_statistics(*discriminator), golden.at("stats." + layers), 1e-5, "stats");
  discriminator->eval();
  expect_close(discriminator->forward(x), golden.at("eval." + layers), 1e-5, "evaluation");
}

TEST_CASE("NLayerDiscriminator has the published names and sizes") {
  const NLayerDiscriminator discriminator(PatchDiscriminatorConfig{});
  std::map<std::string, std::vector<std::int64_t>> shapes;
  std::int64_t count = 0;
  for (const auto& item : discriminator->named_parameters()) {
    shapes[item.key()] = item.value().sizes().vec();
    count += item.value().numel();
  }
  // pix2pix prints 2.769 M for six input channels, 3072 weights more.
  CHECK(count == 2765633);
  CHECK(shapes.at("main.0.weight") == std::vector<std::int64_t>{64, 3, 4, 4});
  CHECK(shapes.at("main.8.weight") == std::vector<std::int64_t>{512, 256, 4, 4});
  CHECK(shapes.at("main.9.bias") == std::vector<std::int64_t>{512});
  CHECK(shapes.at("main.11.weight") == std::vector<std::int64_t>{1, 512, 4, 4});
  CHECK(shapes.count("main.2.bias") == 0);
  CHECK(discriminator->named_buffers().contains("main.3.running_mean"));
}

TEST_CASE("a discriminator with group norms keeps no state and judges each picture alone") {
  const at::NoGradGuard no_grad;
  NLayerDiscriminator discriminator(PatchDiscriminatorConfig{.ndf = 12, .norm_type = "group"});
  ldm::models::initialize_discriminator(*discriminator, 3);
  CHECK(discriminator->named_buffers().is_empty());
  const at::Tensor x = seeded_randn({2, 3, 32, 32}, 1);
  const at::Tensor both = discriminator->forward(x);
  CHECK(both.sizes() == at::IntArrayRef({2, 1, 2, 2}));
  expect_close(discriminator->forward(x.narrow(0, 1, 1)), both.narrow(0, 1, 1), 1e-5);
}

TEST_CASE("a new discriminator has taming's random weights, the same for the same seed") {
  NLayerDiscriminator first(PatchDiscriminatorConfig{}), second(PatchDiscriminatorConfig{});
  ldm::models::initialize_discriminator(*first, 5);
  ldm::models::initialize_discriminator(*second, 5);
  const auto parameters = first->named_parameters();
  const auto others = second->named_parameters();
  for (const auto& item : parameters) {
    INFO(item.key());
    CHECK(item.value().requires_grad());
    CHECK(item.value().equal(others[item.key()]));
  }
  const at::Tensor conv = parameters["main.8.weight"].detach();
  CHECK(conv.mean().abs().item<double>() < 1e-4);
  CHECK(conv.std().item<double>() == Approx(0.02).epsilon(0.01));
  const at::Tensor scale = parameters["main.9.weight"].detach();
  CHECK(scale.mean().item<double>() == Approx(1.0).epsilon(0.01));
  CHECK(scale.std().item<double>() == Approx(0.02).epsilon(0.15));
  CHECK(parameters["main.9.bias"].detach().eq(0).all().item<bool>());
}

TEST_CASE("a discriminator's config is checked") {
  const auto refused = [](const PatchDiscriminatorConfig& config) {
    REQUIRE_THROWS_AS(NLayerDiscriminator(config), ldm::Error);
  };
  refused({.n_layers = 0});
  refused({.ndf = -1});
  refused({.norm_type = "actnorm"});
}
