#include "ldm/nn/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>

#include "ldm/nn/init.h"
#include "ldm/nn/layers.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using ldm::nn::BatchNorm2d;
using ldm::test::expect_close;

TEST_CASE("BatchNorm2d normalises by the batch and remembers its statistics while training") {
  BatchNorm2d norm(3);
  ldm::nn::initialize(*norm, 1);
  const at::Tensor x = ldm::test::seeded_randn({4, 3, 5, 5}, 7) * 3.0 + 2.0;
  const at::Tensor y = norm->forward(x);
  CHECK(y.mean({0, 2, 3}).abs().max().item<double>() < 1e-6);
  CHECK(y.var({0, 2, 3}, /*unbiased=*/false).sub(1).abs().max().item<double>() < 1e-5);
  expect_close(norm->running_mean, x.mean({0, 2, 3}) * 0.1, 1e-5, "running mean");
  expect_close(norm->running_var, x.var({0, 2, 3}, true) * 0.1 + 0.9, 1e-5, "running variance");
  CHECK(norm->num_batches_tracked.item<std::int64_t>() == 1);
}

TEST_CASE("BatchNorm2d uses and keeps its running statistics after training") {
  BatchNorm2d norm(2);
  ldm::nn::initialize(*norm, 1);
  norm->running_mean.fill_(3.0);
  norm->running_var.fill_(4.0);
  norm->eval();
  const at::Tensor x = ldm::test::seeded_randn({1, 2, 4, 4}, 8);
  expect_close(norm->forward(x), (x - 3.0) / 2.0, 1e-5);
  CHECK(norm->running_mean.eq(3.0).all().item<bool>());
  CHECK(norm->num_batches_tracked.item<std::int64_t>() == 0);
}

TEST_CASE("BatchNorm2d starts as torch.nn's: scale one, shift zero, five names") {
  BatchNorm2d norm(2);
  CHECK(ldm::nn::is_unallocated(norm->weight));
  ldm::nn::initialize(*norm, 1);
  CHECK(norm->weight.detach().eq(1).all().item<bool>());
  CHECK(norm->bias.detach().eq(0).all().item<bool>());
  CHECK(norm->named_parameters().size() == 2);
  CHECK(norm->named_buffers().size() == 3);
}
