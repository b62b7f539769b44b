#include "ldm/train/codebook.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "ldm/core/error.h"
#include "ldm/nn/init.h"
#include "ldm/train/process_group.h"
#include "tests/support/catch.h"

using namespace ldm;
using namespace ldm::train;

namespace {

/// Codes -1 and 1 on a line, and two far away that nothing uses.
nn::VectorQuantizer make_quantizer() {
  nn::VectorQuantizer quantizer(4, 1);
  nn::initialize(*quantizer, 0);
  const c10::AutoGradMode no_grad(false);
  quantizer->embedding->weight.copy_(at::tensor({-1.0F, 1.0F, 50.0F, 60.0F}).view({4, 1}));
  return quantizer;
}

at::Tensor encoded() {
  return at::tensor({-1.5F, 0.5F, 1.5F, 1.25F}).view({1, 1, 2, 2}).requires_grad_(true);
}

}  // namespace

TEST_CASE("quantising passes gradients straight through and draws both sides together") {
  const nn::VectorQuantizer quantizer = make_quantizer();
  CodebookTraining training(quantizer, {.weight = 2.0, .commitment = 0.25}, 0, open_process_group(),
                            true);
  const at::Tensor z = encoded();
  const CodebookStep step = training.quantize(z);
  CHECK(at::equal(step.z_q.detach().flatten(), at::tensor({-1.0F, 1.0F, 1.0F, 1.0F})));
  // Squared distances .25 .25 .25 .0625: their mean, once for the codes and β times for z.
  CHECK(step.loss.item<double>() == Approx(2.0 * 1.25 * 0.203125));
  step.z_q.sum().backward({}, /*retain_graph=*/true);
  CHECK(z.grad().eq(1).all().item<bool>());
  z.mutable_grad().reset();
  step.loss.backward();
  CHECK(z.grad().flatten()[0].item<double>() == Approx(2.0 * 0.25 * 2 * -0.5 / 4));
  CHECK(quantizer->embedding->weight.grad()[0].item<double>() == Approx(2.0 * 2 * 0.5 / 4));
  Metrics metrics;
  training.after_step(0, metrics);
  // Frequencies 1/4 and 3/4.
  CHECK(metrics.means().at("perplexity") == Approx(1.7547654).epsilon(1e-4));
}

TEST_CASE("an averaged codebook moves to its vectors' mean without a gradient") {
  const nn::VectorQuantizer quantizer = make_quantizer();
  CodebookTraining training(quantizer, {.ema = true, .ema_decay = 0.5}, 0, open_process_group(),
                            true);
  CHECK_FALSE(training.learned_by_gradient());
  const CodebookStep step = training.quantize(encoded());
  CHECK(step.loss.item<double>() == Approx(0.25 * 0.203125));
  Metrics metrics;
  training.after_step(0, metrics);
  // usage 1 → 1 and 2; sums -1 → -1.25 and 1 → 2.125.
  CHECK(quantizer->embedding->weight[0].item<double>() == Approx(-1.25).epsilon(1e-3));
  CHECK(quantizer->embedding->weight[1].item<double>() == Approx(1.0625).epsilon(1e-3));
}

TEST_CASE("codes that nothing uses are replaced by vectors of the batch") {
  const nn::VectorQuantizer quantizer = make_quantizer();
  CodebookTraining training(quantizer, {.ema_decay = 0.5, .dead_below = 0.6}, 0,
                            open_process_group(), true);
  training.quantize(encoded());
  Metrics metrics;
  training.after_step(0, metrics);
  const at::Tensor codes = quantizer->embedding->weight.detach().flatten();
  CHECK(codes[0].item<double>() == -1.0);
  for (const int dead : {2, 3}) {
    const double code = codes[dead].item<double>();
    CHECK((code == -1.5 || code == 0.5 || code == 1.5 || code == 1.25));
  }
}

TEST_CASE("new codebooks are uniform and fields have ranges") {
  nn::VectorQuantizer quantizer(64, 2);
  nn::initialize(*quantizer, 0);
  const CodebookTraining training(quantizer, {}, 3, open_process_group(), false);
  CHECK(quantizer->embedding->weight.detach().abs().max().item<double>() <= 1.0 / 64);
  CHECK(quantizer->embedding->weight.detach().std().item<double>() > 0.005);
  CHECK_THROWS_AS((CodebookConfig{.ema_decay = 1}).validate("x"), Error);
  CHECK_THROWS_AS((CodebookConfig{.commitment = -1}).validate("x"), Error);
}
