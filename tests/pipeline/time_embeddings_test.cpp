#include "ldm/pipeline/time_embeddings.h"

#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>

#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {

TEST_CASE("a step's time embedding is made once, and anew for other weights") {
  const auto components = test::tiny_components("sd1");
  const c10::InferenceMode inference;
  TimeEmbeddings times;
  const at::Tensor first = times.embed(*components, 1, 981, {});
  CHECK(first.size(0) == 1);
  CHECK(first.equal(components->unet.get().embed(1, at::full({}, 981.0), {})));
  CHECK(times.embed(*components, 1, 981, {}).is_same(first));
  CHECK_FALSE(times.embed(*components, 1, 961, {}).equal(first));
  CHECK(times.embed(*components, 1, 981, {}).is_same(first));
  CHECK(times.embed(*components, 2, 981, {}).size(0) == 2);

  components->unet.release();
  const at::Tensor again = times.embed(*components, 1, 981, {});
  CHECK_FALSE(again.is_same(first));
  CHECK(again.equal(first));
}

TEST_CASE("a denoiser predicts the same from an embedding that its rows share") {
  const auto components = test::tiny_components("sd1");
  const c10::InferenceMode inference;
  const models::DenoiserImpl& unet = components->unet.get();
  const at::Tensor sample = test::seeded_randn({2, 4, 8, 8}, 1);
  const at::Tensor text = test::seeded_randn({2, 77, unet.shape().context_dim}, 2);
  const at::Tensor timestep = at::full({}, 500.0);
  const at::Tensor each = unet.denoise(sample, timestep, text, {});
  const at::Tensor shared = unet.denoise_embedded(sample, unet.embed(1, timestep, {}), text, {});
  test::expect_close(shared, each, 1e-5);
}

}  // namespace ldm
