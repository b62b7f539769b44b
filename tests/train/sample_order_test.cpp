#include "ldm/train/sample_order.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/support/catch.h"

using ldm::train::SampleOrder;

namespace {

std::vector<std::int64_t> epoch(const SampleOrder& order, std::int64_t number) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < order.size(); ++i) {
    indices.push_back(order.index_at(number * order.size() + i));
  }
  return indices;
}

}  // namespace

TEST_CASE("every pass over the data is a permutation") {
  for (const std::int64_t size : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097}) {
    const SampleOrder order(size, 7);
    std::vector<std::int64_t> all(static_cast<std::size_t>(size));
    std::iota(all.begin(), all.end(), 0);
    for (const std::int64_t number : {0, 1, 5}) {
      std::vector<std::int64_t> indices = epoch(order, number);
      std::sort(indices.begin(), indices.end());
      CHECK(indices == all);
    }
  }
}

TEST_CASE("passes and seeds differ, the same seed does not") {
  const SampleOrder order(1000, 7);
  CHECK(epoch(order, 0) != epoch(order, 1));
  CHECK(epoch(order, 0) != epoch(SampleOrder(1000, 8), 0));
  CHECK(epoch(order, 3) == epoch(SampleOrder(1000, 7), 3));
  CHECK(order.epoch_of(999) == 0);
  CHECK(order.epoch_of(1000) == 1);
}

TEST_CASE("a pass is well mixed") {
  // Neighbours in the run are far apart in the data set: a third of it, on average.
  const SampleOrder order(4096, 1);
  const std::vector<std::int64_t> indices = epoch(order, 0);
  double distance = 0;
  std::int64_t fixed = 0;
  for (std::size_t i = 1; i < indices.size(); ++i) {
    distance += static_cast<double>(std::abs(indices[i] - indices[i - 1]));
    fixed += indices[i] == static_cast<std::int64_t>(i) ? 1 : 0;
  }
  CHECK(distance / 4095 == Approx(4096.0 / 3).epsilon(0.05));
  CHECK(fixed < 10);
}

TEST_CASE("without shuffling the order is the data set's") {
  const SampleOrder order(3, 0, false);
  CHECK(epoch(order, 4) == std::vector<std::int64_t>{0, 1, 2});
}
