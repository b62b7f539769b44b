#include "ldm/train/lpips_trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>

#include <map>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/models/lpips_golden.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/train/judged_set.h"

namespace {

using namespace ldm::train;
using ldm::models::LPIPS;
using ldm::models::RankingNet;
using ldm::test::digest;
using ldm::test::expect_digests;
using ldm::test::golden_picture;

std::vector<at::Tensor> parameters_by_name(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : module.named_parameters()) by_name.emplace(item.key(), item.value());
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : by_name) values.push_back(value);
  return values;
}

TwoAfcBatch golden_batch(std::uint64_t step, std::int64_t side) {
  const at::Tensor ref = golden_picture(100 + step, side, side, 3);
  const at::Tensor p0 = (ref + golden_picture(200 + step, side, side, 3) * 0.3).clamp(-1, 1);
  const at::Tensor p1 = (ref + golden_picture(300 + step, side, side, 3) * 0.5).clamp(-1, 1);
  return {ref, p0, p1, at::tensor({0.0, 1.0, 0.4}).to(at::kFloat)};
}

RankingNet golden_ranking() {
  RankingNet ranking;
  ldm::test::fill_by_formula(*ranking, 3000);
  return ranking;
}

/// Adam's first steps have one size whatever the gradient: where a batch's gradients cancel,
/// rounding decides a step's sign, so that weights may differ by some of the ten steps of 1e-3.
void expect_weights(const std::vector<at::Tensor>& weights, const at::Tensor& expected) {
  CHECK((digest(weights) - expected).abs().max().item<double>() < 4e-3);
}

}  // namespace

TEST_CASE("ten steps of training LPIPS follow the public trainer's", "[golden]") {
  const ldm::test::Golden golden("lpips");
  const std::string mode = GENERATE("lin", "scratch");
  const LPIPS lpips = ldm::test::golden_lpips(mode == "lin" ? "alex" : "squeeze");
  const RankingNet ranking = golden_ranking();
  const at::Tensor backbone_before = digest(parameters_by_name(*lpips->net));
  LpipsTrainer trainer(lpips, ranking, parse_lpips_mode(mode), 1e-3);
  const at::Tensor curve = golden.at(mode + ".curve");
  for (std::uint64_t i = 0; i < 10; ++i) {
    const LpipsStep step = trainer.step(golden_batch(i, 32));
    const auto row = static_cast<std::int64_t>(i);
    INFO(mode << ", step " << i);
    CHECK(step.loss == Approx(curve[row][0].item<double>()).epsilon(1e-4));
    CHECK(step.accuracy == Approx(curve[row][1].item<double>()).epsilon(1e-5));
    if (i == 0) {
      expect_digests(digest(ldm::test::gradients_of(*ranking)), golden.at(mode + ".rank_grads"),
                     1e-5, "ranking");
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& w : ldm::test::weightings_of(lpips)) gradients.push_back(w.grad());
      expect_digests(digest(gradients), golden.at(mode + ".lin_grads"), 1e-5, "weightings");
    }
    if (i == 5) trainer.set_learning_rate(1e-3 * 3 / 4);
  }
  expect_weights(ldm::test::weightings_of(lpips), golden.at(mode + ".lins"));
  expect_weights(parameters_by_name(*ranking), golden.at(mode + ".rank"));
  const std::vector<at::Tensor> backbone = parameters_by_name(*lpips->net);
  if (mode == "lin") {
    CHECK(digest(backbone).equal(backbone_before));
  } else {
    expect_weights(backbone, golden.at(mode + ".backbone"));
  }
}

TEST_CASE("a step whose loss is not finite changes no weight") {
  const LPIPS lpips = ldm::test::golden_lpips("squeeze");
  const RankingNet ranking = golden_ranking();
  LpipsTrainer trainer(lpips, ranking, LpipsMode::kScratch, 1e-3);
  const at::Tensor before = digest(parameters_by_name(*lpips));
  TwoAfcBatch batch = golden_batch(0, 32);
  batch.p0[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(std::isfinite(trainer.step(batch).loss));
  CHECK(before.equal(digest(parameters_by_name(*lpips))));
}

TEST_CASE("a whole run depends on its seed only and learns an order that is to be seen") {
  const ldm::test::TempDir folder;
  ldm::test::write_two_afc_set(folder.path(), 12);
  const TwoAfcData data(folder.path());
  LpipsTrainConfig config;
  config.mode = LpipsMode::kScratch;
  config.lr = 2e-3;
  config.epochs = 3;
  config.epochs_decay = 2;
  config.batch_size = 5;
  const auto run = [&](std::uint64_t seed, std::vector<double>& losses) {
    config.seed = seed;
    const LPIPS lpips = ldm::test::golden_lpips("squeeze");
    train_lpips(config, data, lpips, golden_ranking(), [&losses](const LpipsEpoch& epoch) {
      CHECK(epoch.number == static_cast<std::int64_t>(losses.size()) + 1);
      CHECK(epoch.of == 5);
      losses.push_back(epoch.loss);
    });
    return digest(parameters_by_name(*lpips));
  };
  std::vector<double> first_losses, second_losses, other_losses;
  const at::Tensor first = run(1, first_losses);
  CHECK(first.equal(run(1, second_losses)));
  CHECK_FALSE(first.equal(run(2, other_losses)));
  CHECK(first_losses.back() < first_losses.front());
}

TEST_CASE("a run stops after ten steps in a row without a finite loss") {
  const ldm::test::TempDir folder;
  ldm::test::write_two_afc_set(folder.path(), 12);
  LPIPS lpips = ldm::test::golden_lpips("squeeze");
  lpips->lins[0]->weighting->weight.set_data(
      at::full_like(lpips->lins[0]->weighting->weight, std::numeric_limits<double>::quiet_NaN()));
  LpipsTrainConfig config;
  config.batch_size = 1;
  try {
    train_lpips(config, TwoAfcData(folder.path()), lpips, golden_ranking(), {});
    FAIL("a run of NaN came to its end");
  } catch (const ldm::Error& error) {
    CHECK(error.code() == ldm::ErrorCode::kNonFinite);
  }
}

TEST_CASE("training modes have the package's words") {
  CHECK(parse_lpips_mode("tune") == LpipsMode::kTune);
  CHECK_THROWS_AS(parse_lpips_mode("finetune"), ldm::Error);
}
