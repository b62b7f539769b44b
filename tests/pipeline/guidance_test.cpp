#include "ldm/pipeline/guidance.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/std.h>

#include "ldm/core/random.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {

TEST_CASE("guidance 1 is the text prediction and 0 the unconditional one") {
  ImageRandom random(1);
  const at::Tensor uncond = random.randn({2, 4, 8, 8});
  const at::Tensor text = random.randn({2, 4, 8, 8});
  test::expect_close(guide(uncond, text, 1.0), text, 1e-6);
  CHECK(at::equal(guide(uncond, text, 0.0), uncond));
  test::expect_close(guide(uncond, text, 7.5), 7.5 * text - 6.5 * uncond, 1e-6);
}

TEST_CASE("a full rescale gives each image the text prediction's deviation, none changes nothing") {
  ImageRandom random(2);
  const at::Tensor guided = random.randn({2, 4, 8, 8}) * 5.0;
  const at::Tensor text = random.randn({2, 4, 8, 8});
  const at::Tensor full = rescale_guidance(guided, text, 1.0);
  test::expect_close(full.flatten(1).std(1), text.flatten(1).std(1), 1e-4);
  CHECK(at::equal(rescale_guidance(guided, text, 0.0), guided));
}

}  // namespace ldm
