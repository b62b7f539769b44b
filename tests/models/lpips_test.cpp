#include "ldm/models/lpips.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/models/lpips_golden.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::LPIPS;
using ldm::models::PerceptualNet;
using ldm::test::digest;
using ldm::test::expect_close;
using ldm::test::expect_digests;
using ldm::test::golden_lpips;
using ldm::test::golden_picture;
using ldm::test::gradients_of;

struct Case {
  const char* name;
  std::int64_t height;
  std::int64_t width;
};

}  // namespace

TEST_CASE("LPIPS and all its gradients equal the public package's", "[golden]") {
  const ldm::test::Golden golden("lpips");
  const Case net = GENERATE(Case{"vgg", 32, 40}, Case{"alex", 64, 47}, Case{"squeeze", 40, 33});
  const std::string name = net.name;
  LPIPS lpips = golden_lpips(name);
  lpips->set_trainable(true, true);
  const at::Tensor in0 = golden_picture(1, net.height, net.width);
  const at::Tensor in1 = golden_picture(2, net.height, net.width).requires_grad_(true);
  const at::Tensor distance = lpips->forward(in0, in1);
  const at::Tensor expected = golden.at(name + ".distance");
  CHECK(((distance.detach() - expected) / expected).abs().max().item<double>() < 1e-5);
  distance.sum().backward();
  expect_digests(digest({in1.grad()}), golden.at(name + ".picture_grad"), 1e-5, "picture");
  expect_digests(digest(gradients_of(*lpips->net)), golden.at(name + ".backbone_grads"), 5e-5,
                 "backbone");
  std::vector<at::Tensor> lin_gradients;
  for (const at::Tensor& weight : ldm::test::weightings_of(lpips)) {
    lin_gradients.push_back(weight.grad());
  }
  expect_digests(digest(lin_gradients), golden.at(name + ".lin_grads"), 1e-5, "weightings");
  const at::NoGradGuard no_grad;
  const at::Tensor map = lpips->forward_map(in0, in1);
  CHECK(map.sizes() == at::IntArrayRef({2, 1, net.height, net.width}));
  expect_digests(digest({map[0], map[1]}), golden.at(name + ".map"), 1e-5, "map");
}

TEST_CASE("LPIPS has torchvision's and the package's names") {
  const auto has = [](PerceptualNet net, const std::string& key, std::vector<std::int64_t> shape) {
    const LPIPS lpips(net);
    const at::Tensor* found = lpips->named_parameters().find(key);
    INFO(key);
    REQUIRE(found != nullptr);
    CHECK(found->sizes().vec() == shape);
  };
  has(PerceptualNet::kVgg, "net.features.28.weight", {512, 512, 3, 3});
  has(PerceptualNet::kAlex, "net.features.0.weight", {64, 3, 11, 11});
  has(PerceptualNet::kAlex, "net.features.10.bias", {256});
  has(PerceptualNet::kSqueeze, "net.features.12.expand3x3.weight", {256, 64, 3, 3});
  has(PerceptualNet::kSqueeze, "lin6.model.1.weight", {1, 512, 1, 1});
}

TEST_CASE("LPIPS is zero for equal pictures, symmetric, and frozen unless told otherwise") {
  LPIPS lpips = golden_lpips("squeeze");
  const at::Tensor a = golden_picture(1, 24, 24);
  const at::Tensor b = golden_picture(2, 24, 24);
  CHECK(lpips->forward(a, a).abs().max().item<double>() == 0);
  expect_close(lpips->forward(a, b), lpips->forward(b, a), 1e-6);
  lpips->set_trainable(false, false);
  CHECK_FALSE(lpips->forward(a, b).requires_grad());
  const LPIPS fresh(PerceptualNet::kAlex);
  for (const at::Tensor& parameter : fresh->parameters()) CHECK_FALSE(parameter.requires_grad());
}

TEST_CASE("LPIPS has a gradient where all features of a position are zero") {
  LPIPS lpips = golden_lpips("squeeze");
  lpips->set_trainable(false, false);
  {
    const at::NoGradGuard no_grad;
    // Far below zero before the activation, whatever the picture.
    for (auto& item : lpips->net->features->named_parameters()) {
      if (item.key() == "0.bias") item.value().fill_(-1e3);
    }
  }
  const at::Tensor x = golden_picture(1, 24, 24).requires_grad_(true);
  lpips->forward(golden_picture(2, 24, 24), x).sum().backward();
  CHECK(at::isfinite(x.grad()).all().item<bool>());
}

TEST_CASE("LPIPS multiplies squared differences with the masks it is given") {
  const at::NoGradGuard no_grad;
  LPIPS lpips = golden_lpips("squeeze");
  const at::Tensor a = golden_picture(1, 24, 24);
  const at::Tensor b = golden_picture(2, 24, 24);
  std::vector<std::size_t> stages;
  const at::Tensor doubled = lpips->forward(a, b, [&](std::size_t stage, at::IntArrayRef shape) {
    stages.push_back(stage);
    return at::zeros(shape) + 2.0;
  });
  expect_close(doubled, lpips->forward(a, b) * 2.0, 1e-5);
  CHECK(stages == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("clamping makes negative weightings zero and leaves the backbone alone") {
  LPIPS lpips = golden_lpips("squeeze");
  const at::NoGradGuard no_grad;
  lpips->lins[2]->weighting->weight.neg_();
  const at::Tensor squeeze = lpips->named_parameters()["net.features.3.squeeze.weight"].clone();
  lpips->clamp_weightings();
  CHECK(lpips->lins[2]->weighting->weight.abs().max().item<double>() == 0);
  CHECK(lpips->lins[1]->weighting->weight.min().item<double>() > 0);
  CHECK(squeeze.equal(lpips->named_parameters()["net.features.3.squeeze.weight"]));
  CHECK(squeeze.min().item<double>() < 0);
}

TEST_CASE("LPIPS refuses pictures it cannot compare, and takes the smallest it can") {
  const at::NoGradGuard no_grad;
  const std::string name = GENERATE("alex", "squeeze");
  LPIPS lpips = golden_lpips(name);
  const std::int64_t side = lpips->net->min_side;
  CHECK(lpips->forward(golden_picture(1, side, side), golden_picture(2, side, side)).numel() == 2);
  const auto code_of = [&lpips](const at::Tensor& a, const at::Tensor& b) {
    try {
      lpips->forward(a, b);
    } catch (const ldm::Error& error) {
      return error.exit_code();
    }
    return 0;
  };
  CHECK(code_of(golden_picture(1, side - 1, 64), golden_picture(2, side - 1, 64)) == 3);
  CHECK(code_of(golden_picture(1, 64, 64), golden_picture(2, 64, 65)) == 3);
}

TEST_CASE("initialize_lpips fills what holds nothing and leaves the rest") {
  LPIPS lpips(PerceptualNet::kSqueeze);
  LPIPS same(PerceptualNet::kSqueeze);
  const at::Tensor kept = at::zeros({1, 64, 1, 1}) + 3.0;
  for (LPIPS* each : {&lpips, &same}) {
    (*each)->lins[0]->weighting->weight.set_data(kept);
    ldm::models::initialize_lpips(**each, 4);
  }
  for (const auto& item : lpips->named_parameters()) {
    INFO(item.key());
    CHECK_FALSE(ldm::nn::is_unallocated(item.value()));
    CHECK(item.value().equal(same->named_parameters()[item.key()]));
  }
  CHECK(lpips->lins[0]->weighting->weight.equal(kept));
  const at::Tensor weighting = lpips->lins[6]->weighting->weight;
  CHECK(weighting.min().item<double>() >= 0);
  CHECK(weighting.max().item<double>() <= 1 / std::sqrt(512.0));
  const at::Tensor conv = lpips->named_parameters()["net.features.12.expand3x3.weight"];
  CHECK(conv.std().item<double>() == Approx(std::sqrt(2.0 / (64 * 9))).epsilon(0.02));
}

TEST_CASE("perceptual networks have the package's words") {
  for (const char* word : {"vgg", "alex", "squeeze"}) {
    CHECK(ldm::models::perceptual_net_name(ldm::models::parse_perceptual_net(word)) == word);
  }
  CHECK(ldm::models::parse_perceptual_net("vgg16") == PerceptualNet::kVgg);
  CHECK_THROWS_AS(ldm::models::parse_perceptual_net("resnet"), ldm::Error);
}
