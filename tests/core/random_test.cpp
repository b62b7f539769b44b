#include "ldm/core/random.h"

#include <ATen/TensorOperators.h>

#include "tests/support/catch.h"

namespace ldm {

// torch.randn(4, generator=torch.Generator().manual_seed(42)) and (1, 4, 64, 64): the first values
// of a short and of a vectorised draw differ, so both are held.
TEST_CASE("a draw equals torch.randn with the same seed and shape") {
  ImageRandom short_draw(42);
  const at::Tensor four = short_draw.randn({4});
  CHECK(four[0].item<float>() == Approx(0.33669036626815796).epsilon(1e-7));
  CHECK(four[3].item<float>() == Approx(0.23033303022384644).epsilon(1e-7));
  ImageRandom long_draw(42);
  const at::Tensor latents = long_draw.randn({1, 4, 64, 64});
  CHECK(latents[0][0][0][0].item<float>() == Approx(1.9269152879714966).epsilon(1e-7));
  CHECK(latents[0][0][0][1].item<float>() == Approx(1.4872840642929077).epsilon(1e-7));
}

TEST_CASE("each image has its own stream, whatever the batch") {
  std::vector<ImageRandom> both = {ImageRandom(5), ImageRandom(6)};
  const std::vector<std::int64_t> shape = {4, 8, 8};
  const at::Tensor first = randn_each(both, shape);
  const at::Tensor second = randn_each(both, shape);
  std::vector<ImageRandom> alone = {ImageRandom(6)};
  CHECK(at::equal(first[1], randn_each(alone, shape)[0]));
  CHECK(at::equal(second[1], randn_each(alone, shape)[0]));
  CHECK(!at::equal(first[0], first[1]));
}

}  // namespace ldm
