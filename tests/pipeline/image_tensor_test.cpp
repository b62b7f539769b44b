#include "ldm/pipeline/image_tensor.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <limits>

#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("a picture survives the way to a tensor and back") {
  Image image{3, 2, {}};
  for (int i = 0; i < 18; ++i) image.rgb.push_back(static_cast<std::uint8_t>(i * 14));
  const at::Tensor tensor = image_to_tensor(image);
  CHECK(tensor.sizes() == at::IntArrayRef({1, 3, 2, 3}));
  CHECK(tensor[0][0][0][0].item<float>() == -1.0F);
  const Image back = tensor_to_image(tensor);
  CHECK(back.width == 3);
  CHECK(back.height == 2);
  CHECK(back.rgb == image.rgb);
}

TEST_CASE("values beyond the range are clamped and halves go to even") {
  const at::Tensor x = at::tensor({-3.0F, 3.0F, 0.0F}).view({1, 3, 1, 1});
  const Image image = tensor_to_image(x);
  CHECK(image.rgb == std::vector<std::uint8_t>{0, 255, 128});
}

TEST_CASE("latents cross over with shape and values") {
  const LatentsData data{{2, 1, 1, 2}, {1, 2, 3, 4}};
  const at::Tensor second = latents_to_tensor(data, 1, 1);
  CHECK(second.sizes() == at::IntArrayRef({1, 1, 1, 2}));
  CHECK(second.flatten()[1].item<float>() == 4.0F);
  CHECK(tensor_to_latents(second).values == std::vector<float>{3, 4});
  const LatentsData one{{1, 1, 1, 2}, {1, 2}};
  CHECK(latents_to_tensor(one, 5, 3).size(0) == 3);
}

TEST_CASE("NaN and Inf are noticed") {
  at::Tensor x = at::full({2, 2}, 1.0);
  CHECK(all_finite(x));
  x[1][1] = std::numeric_limits<double>::quiet_NaN();
  CHECK(!all_finite(x));
}

}  // namespace ldm
