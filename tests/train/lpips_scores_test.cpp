#include "ldm/train/lpips_scores.h"

#include <ATen/TensorOperators.h>

#include <vector>

#include "ldm/core/error.h"
#include "tests/models/lpips_golden.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/train/judged_set.h"

namespace {

using ldm::test::seeded_randn;

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.to(at::kDouble).contiguous();
  const auto* data = plain.const_data_ptr<double>();
  return {data, data + plain.numel()};
}

}  // namespace

TEST_CASE("2AFC and JND scores equal the public package's", "[golden]") {
  const ldm::test::Golden golden("lpips");
  const at::Tensor d0 = seeded_randn({40}, 7).abs();
  at::Tensor d1 = seeded_randn({40}, 8).abs();
  for (std::int64_t i = 0; i < 40; i += 9) d1[i] = d0[i];
  const at::Tensor judge = (seeded_randn({40}, 9) * 0.4 + 0.5).clamp(0, 1);
  const at::Tensor same = (judge * 3).round() / 3;
  CHECK(ldm::train::score_2afc(numbers(d0), numbers(d1), numbers(judge)) ==
        Approx(golden.at("score.2afc").item<double>()).epsilon(1e-6));
  CHECK(ldm::train::score_jnd(numbers(d0), numbers(same)) ==
        Approx(golden.at("score.jnd").item<double>()).epsilon(1e-6));
}

TEST_CASE("scores of simple orders are what they must be") {
  using ldm::train::score_2afc;
  using ldm::train::score_jnd;
  CHECK(score_2afc({1, 2}, {2, 1}, {0, 1}) == 1.0);
  CHECK(score_2afc({1, 2}, {2, 1}, {1, 0}) == 0.0);
  CHECK(score_2afc({1}, {1}, {1}) == 0.5);
  CHECK(score_2afc({1}, {2}, {0.25}) == 0.75);
  CHECK(score_jnd({1, 2, 3, 4}, {1, 1, 0, 0}) == 1.0);
  CHECK(score_jnd({1, 2, 3, 4}, {0, 0, 1, 1}) == 0.5);
  CHECK(score_jnd({3, 1, 2}, {0, 0, 1}) == 0.5);
  CHECK_THROWS_AS(score_2afc({}, {}, {}), ldm::Error);
  CHECK_THROWS_AS(score_jnd({1, 2}, {0, 0}), ldm::Error);
}

TEST_CASE("a network is scored over all batches of a set") {
  const ldm::test::TempDir folder;
  ldm::test::write_two_afc_set(folder / "2afc", 5);
  ldm::test::write_jnd_set(folder / "jnd", 7);
  const ldm::models::LPIPS lpips = ldm::test::golden_lpips("squeeze");
  std::vector<std::int64_t> done;
  const ldm::train::TwoAfcData two(folder / "2afc");
  CHECK(ldm::train::evaluate_2afc(lpips, two, 2, [&done](std::int64_t n) { done.push_back(n); }) ==
        1.0);
  CHECK(done == std::vector<std::int64_t>{2, 4, 5});
  const ldm::train::JndData jnd(folder / "jnd");
  CHECK(ldm::train::evaluate_jnd(lpips, jnd, 3) == Approx(1.0));
}
