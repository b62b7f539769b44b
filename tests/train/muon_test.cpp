#include "ldm/train/muon.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/train/draws.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/train/thread_group.h"

using namespace ldm;
using namespace ldm::train;

namespace {

at::Tensor drawn(at::IntArrayRef shape, std::uint64_t number) {
  return at::randn(shape, draw_for(0, "muon", number));
}

/// Parameters of odd shapes, wide, tall and four-dimensional.
std::vector<NamedParameter> parameters() {
  return {{"a.weight", drawn({6, 10}, 1)},
          {"b.weight", drawn({12, 4}, 2)},
          {"c.conv1.weight", drawn({4, 3, 3, 3}, 3)},
          {"conv_in.weight", drawn({4, 3, 3, 3}, 4)},
          {"token_embedding.weight", drawn({20, 4}, 5)},
          {"a.bias", drawn({6}, 6)}};
}

void learn(Optimizer& optimizer, int steps) {
  for (int step = 0; step < steps; ++step) {
    std::uint64_t number = 100 * static_cast<std::uint64_t>(step + 1);
    for (const NamedParameter& parameter : optimizer.parameters()) {
      at::Tensor(parameter.value).mutable_grad() = drawn(parameter.value.sizes(), ++number);
    }
    optimizer.step(1.0 / (step + 1));
  }
}

const OptimizerConfig kConfig{.kind = "muon", .learning_rate = 0.05, .weight_decay = 0.02};

}  // namespace

TEST_CASE("orthogonalized matrices have singular values about one") {
  const auto shape =
      GENERATE(std::array<std::int64_t, 2>{8, 8}, std::array<std::int64_t, 2>{5, 40},
               std::array<std::int64_t, 2>{40, 5}, std::array<std::int64_t, 2>{1, 9});
  const at::Tensor made = orthogonalize(1e3 * drawn(shape, 7));
  CHECK(made.scalar_type() == at::kFloat);
  const at::Tensor values = at::linalg_svdvals(made);
  CHECK(values.max().item<double>() < 1.25);
  if (shape[0] != shape[1]) CHECK(values.min().item<double>() > 0.6);
}

TEST_CASE("a zero gradient is no direction") {
  CHECK(orthogonalize(0 * drawn({4, 6}, 1)).abs().max().item<double>() == 0);
}

TEST_CASE("which parameters are hidden matrices") {
  std::vector<std::string> names;
  for (const NamedParameter& parameter : parameters()) {
    if (is_hidden_matrix(parameter)) names.push_back(parameter.name);
  }
  CHECK(names == std::vector<std::string>{"a.weight", "b.weight", "c.conv1.weight"});
}

TEST_CASE("five steps of Muon equal torch.optim.Muon's", "[golden]") {
  const test::Golden golden("muon");
  std::vector<NamedParameter> given;
  for (const char* name : {"wide", "tall", "square"}) {
    given.push_back({name, golden.at(std::string(name) + ".start").clone()});
  }
  Muon muon(given, kConfig, nullptr);
  for (std::int64_t step = 0; step < 5; ++step) {
    for (const NamedParameter& parameter : given) {
      at::Tensor(parameter.value).mutable_grad() =
          golden.at(parameter.name + ".gradients")[step].clone();
    }
    muon.step(1.0 / static_cast<double>(step + 1));
  }
  for (const NamedParameter& parameter : given) {
    test::expect_close(parameter.value, golden.at(parameter.name + ".end"), 1e-3, parameter.name);
  }
}

TEST_CASE("\"muon\" is Muon for hidden matrices and AdamW for the rest") {
  const auto together = make_optimizer(parameters(), kConfig, nullptr);
  learn(*together, 3);
  const TensorMap state = together->state("o.");
  CHECK(state.count("o.c.conv1.weight.momentum") == 1);
  CHECK(state.count("o.a.bias.exp_avg") == 1);
  CHECK(state.count("o.token_embedding.weight.exp_avg_sq") == 1);
  CHECK(state.size() == 3 + 3 * 3);
}

TEST_CASE("ranks share Muon's work and learn what one learns") {
  const int ranks = GENERATE(2, 3, 5);
  const auto alone = make_optimizer(parameters(), kConfig, nullptr);
  learn(*alone, 3);
  std::vector<std::vector<NamedParameter>> learned(static_cast<std::size_t>(ranks));
  test::run_ranks(ranks, [&](const std::shared_ptr<test::ThreadGroup>& group) {
    auto& mine = learned[static_cast<std::size_t>(group->rank())];
    mine = parameters();
    learn(*make_optimizer(mine, kConfig, group), 3);
  });
  for (const auto& rank : learned) {
    for (std::size_t i = 0; i < rank.size(); ++i) {
      CHECK(rank[i].value.equal(alone->parameters()[i].value));
    }
  }
}

TEST_CASE("Muon leaves a parameter without a gradient alone") {
  const at::Tensor value = at::ones({2, 3});
  Muon muon({{"w", value}}, kConfig, nullptr);
  muon.step(1.0);
  CHECK(value.eq(1).all().item<bool>());
}

TEST_CASE("the optimizer's kind and momentum have ranges") {
  CHECK_THROWS_AS((OptimizerConfig{.kind = "sgd"}).validate("x"), Error);
  CHECK_THROWS_AS((OptimizerConfig{.kind = "muon", .momentum = 1}).validate("x"), Error);
  CHECK_NOTHROW(kConfig.validate("x"));
}
