#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <memory>
#include <string>

#include "ldm/models/unet_2d.h"
#include "ldm/models/unet_2d_condition.h"
#include "tests/models/unet_cases.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::test::seeded_randn;

/// Adds up the bytes that one thread allocates on the CPU and frees again.
class Meter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*data*/, std::int64_t size, std::size_t /*allocated*/,
                         std::size_t /*reserved*/, c10::Device /*device*/) override {
    bytes += size;
  }
  bool memoryProfilingEnabled() const override { return true; }

  std::int64_t bytes = 0;
};

void learn_all(torch::nn::Module& module) {
  ldm::test::fill_reference_weights(module);
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(true);
}

void clear_gradients(const torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.mutable_grad().reset();
}

at::Tensor unet_loss(const ldm::models::UNet2DConditionModel& unet, const at::Tensor& text) {
  const at::Tensor output = unet->forward(seeded_randn({2, 4, 9, 12}, 1), at::full({}, 17.5), text);
  return (output * seeded_randn({2, 4, 9, 12}, 3)).mean();
}

}  // namespace

TEST_CASE("a UNet learns the same with gradient checkpointing and keeps less") {
  ldm::models::UNet2DConditionModel unet(ldm::test::tiny_unet());
  learn_all(*unet);
  std::vector<at::Tensor> gradients[2];
  std::int64_t kept[2] = {0, 0};
  for (const int again : {0, 1}) {
    unet->gradient_checkpointing = again != 0;
    clear_gradients(*unet);
    const at::Tensor text = seeded_randn({2, 5, 24}, 2).requires_grad_(true);
    const auto meter = std::make_shared<Meter>();
    at::Tensor loss;
    {
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
      loss = unet_loss(unet, text);
      kept[again] = meter->bytes;
    }
    loss.backward();
    gradients[again].push_back(text.grad());
    for (const auto& item : unet->named_parameters()) {
      INFO(item.key());
      REQUIRE(item.value().grad().defined());
      gradients[again].push_back(item.value().grad().clone());
    }
  }
  for (std::size_t i = 0; i < gradients[0].size(); ++i) {
    // What blocks share adds up in another order.
    ldm::test::expect_close(gradients[1][i], gradients[0][i], 1e-5, std::to_string(i));
  }
  INFO(kept[1] << " of " << kept[0] << " bytes");
  CHECK(kept[1] * 3 < kept[0]);
}

TEST_CASE("gradient checkpointing changes nothing where no gradient is recorded") {
  ldm::models::UNet2DConditionModel unet(ldm::test::tiny_unet());
  learn_all(*unet);
  const at::Tensor text = seeded_randn({2, 5, 24}, 2);
  const c10::AutoGradMode no_grad(false);
  const at::Tensor plain = unet_loss(unet, text);
  unet->gradient_checkpointing = true;
  CHECK(unet_loss(unet, text).equal(plain));
}

TEST_CASE("a UNet without a text learns with gradient checkpointing") {
  ldm::models::UNet2DConfig config;
  config.block_out_channels = {8, 16};
  config.down_block_types = {"DownBlock2D", "AttnDownBlock2D"};
  config.up_block_types = {"AttnUpBlock2D", "UpBlock2D"};
  config.layers_per_block = 1;
  config.norm_num_groups = 4;
  ldm::models::UNet2DModel unet(config);
  learn_all(*unet);
  const auto gradient = [&unet](bool again) {
    unet->gradient_checkpointing = again;
    clear_gradients(*unet);
    unet->forward(seeded_randn({1, unet->config.in_channels, 8, 8}, 1), at::full({}, 3.0))
        .square()
        .mean()
        .backward();
    return unet->conv_in->weight.grad().clone();
  };
  const at::Tensor plain = gradient(false);
  ldm::test::expect_close(gradient(true), plain, 1e-5);
}
