#include "ldm/loading/lpips_files.h"

#include <ATen/core/grad_mode.h>

#include <string>

#include "ldm/nn/init.h"
#include "tests/io/errors.h"
#include "tests/models/lpips_golden.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

using ldm::LpipsFiles;
using ldm::models::LPIPS;
using ldm::models::PerceptualNet;
using ldm::models::RankingNet;
using ldm::test::Contains;
using ldm::test::error_of;
using ldm::test::golden_lpips;
using ldm::test::golden_picture;
using ldm::test::TempDir;

RankingNet make_ranking() {
  RankingNet ranking;
  ldm::nn::initialize(*ranking, 3);
  return ranking;
}

double distance(const LPIPS& lpips) {
  const at::NoGradGuard no_grad;
  return lpips->forward(golden_picture(1, 32, 32, 1), golden_picture(2, 32, 32, 1)).item<double>();
}

}  // namespace

TEST_CASE("a network trained from scratch comes back from its one file") {
  const TempDir folder;
  const LPIPS lpips = golden_lpips("squeeze");
  const RankingNet ranking = make_ranking();
  const auto path = folder / "scratch.safetensors";
  ldm::save_lpips(path, lpips, ranking, /*with_backbone=*/true, "scratch", /*overwrite=*/false);
  const ldm::LpipsContents contents = ldm::inspect_lpips_file(path);
  CHECK(contents.net == PerceptualNet::kSqueeze);
  CHECK(contents.has_backbone);
  CHECK(contents.has_ranking);
  const LPIPS loaded = ldm::load_lpips({.weights = path});
  CHECK(distance(loaded) == distance(lpips));
  CHECK_FALSE(loaded->is_training());
  for (const at::Tensor& parameter : loaded->parameters()) CHECK_FALSE(parameter.requires_grad());
  const RankingNet again = ldm::load_ranking(path);
  for (const auto& item : ranking->named_parameters()) {
    CHECK(item.value().equal(again->named_parameters()[item.key()]));
  }
  const auto twice =
      error_of([&] { ldm::save_lpips(path, lpips, ranking, true, "scratch", false); });
  REQUIRE(twice);
  CHECK(twice->exit_code() == 5);
  CHECK(error_of([&] { ldm::load_lpips({.backbone = path, .weights = path}); })->exit_code() == 2);
}

TEST_CASE("weightings alone need a backbone, which may be a legacy checkpoint's or their own") {
  const TempDir folder;
  const LPIPS lpips = golden_lpips("alex");
  const auto path = folder / "lin.safetensors";
  ldm::save_lpips(path, lpips, make_ranking(), /*with_backbone=*/false, "lin", false);
  CHECK_FALSE(ldm::inspect_lpips_file(path).has_backbone);
  const auto missing = error_of([&] { ldm::load_lpips({.weights = path}); });
  REQUIRE(missing);
  CHECK(missing->exit_code() == 2);
  CHECK_THAT(missing->hint(), Contains("alexnet-owt-7be5be79.pth"));
  const auto wrong = error_of([&] {
    ldm::load_lpips(
        {.backbone = ldm::test::test_file("io/data/legacy_ordered.pth"), .weights = path});
  });
  REQUIRE(wrong);
  CHECK(wrong->exit_code() == 4);
  CHECK_THAT(wrong->message(), Contains("net.features.0.weight"));
}

TEST_CASE("LPIPS says which published files it needs") {
  const auto lin = error_of([] { ldm::load_lpips({.net = PerceptualNet::kVgg}); });
  REQUIRE(lin);
  CHECK(lin->exit_code() == 2);
  CHECK_THAT(lin->hint(), Contains("lpips==0.1.4") && Contains("weights/v0.1/vgg.pth"));
  LPIPS lpips(PerceptualNet::kSqueeze);
  const auto backbone = error_of([&lpips] { ldm::load_lpips_backbone(lpips, {}); });
  REQUIRE(backbone);
  CHECK_THAT(backbone->hint(), Contains("squeezenet1_1-b8a52dc0.pth"));
  const auto other =
      error_of([] { ldm::inspect_lpips_file(ldm::test::test_file("io/data/legacy_ordered.pth")); });
  REQUIRE(other);
  CHECK(other->exit_code() == 4);
}
