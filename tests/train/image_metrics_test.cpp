#include "ldm/train/image_metrics.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using ldm::test::expect_close;
using ldm::test::Golden;
using ldm::train::psnr;
using ldm::train::ssim;

TEST_CASE("PSNR and SSIM are scikit-image's", "[golden]") {
  // The pictures of scripts/goldens/image_metrics.py.
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const at::Tensor rows = at::linspace(0, 6, 20).view({1, 1, 20, 1});
  const at::Tensor columns = at::linspace(0, 9, 27).view({1, 1, 1, 27});
  const at::Tensor phases = at::rand({4, 3, 1, 1}, generator) * 6;
  const at::Tensor a = (rows + phases).sin() * (columns - phases).cos();
  const at::Tensor noise = at::randn({4, 3, 20, 27}, generator);
  const at::Tensor b = a + noise * at::tensor({0.01F, 0.1F, 0.5F, 2.0F}).view({4, 1, 1, 1});
  const Golden golden("image_metrics");
  expect_close(psnr(a, b).to(at::kFloat), golden.at("psnr").to(at::kFloat), 1e-5, "PSNR");
  expect_close(ssim(a, b).to(at::kFloat), golden.at("ssim").to(at::kFloat), 1e-5, "SSIM");
}

TEST_CASE("equal pictures have no error, and constants a known one") {
  const at::Tensor a = at::zeros({2, 3, 11, 16});
  CHECK(std::isinf(psnr(a, a)[0].item<double>()));
  CHECK(ssim(a, a)[1].item<double>() == 1.0);
  // A tenth of the range: 20 dB.
  CHECK(psnr(a, a + 0.2)[0].item<double>() == Approx(20.0).epsilon(1e-6));
}

TEST_CASE("pictures that cannot be compared are refused") {
  const at::Tensor a = at::zeros({1, 3, 11, 16});
  CHECK_THROWS_AS(psnr(a, at::zeros({1, 3, 16, 11})), ldm::Error);
  CHECK_THROWS_AS(ssim(a, at::zeros({2, 3, 11, 16})), ldm::Error);
  CHECK_THROWS_AS(ssim(at::zeros({1, 3, 10, 16}), at::zeros({1, 3, 10, 16})), ldm::Error);
}
