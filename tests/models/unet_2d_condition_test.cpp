#include "ldm/models/unet_2d_condition.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <string>

#include "ldm/core/error.h"
#include "ldm/nn/pack.h"
#include "tests/models/unet_cases.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::UNet2DConditionModel;
using ldm::test::expect_close;
using ldm::test::Golden;
using ldm::test::UNetConfig;

const Golden& golden() {
  static const Golden file("unet");
  return file;
}

UNet2DConditionModel prepared(const UNetConfig& config) {
  UNet2DConditionModel model(config);
  ldm::test::fill_reference_weights(*model);
  return model;
}

/// One run over the golden inputs of `size` ("8x12") with the golden `timestep`.
at::Tensor run(const UNet2DConditionModel& model, const std::string& size,
               const std::string& timestep,
               at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  const UNetConfig& config = model->config;
  const bool classes = config.num_class_embeds || config.class_embed_type;
  const std::string sample = "sample_" + std::to_string(config.in_channels) + "_" + size;
  return model->forward(golden().at(sample).contiguous(format), golden().at(timestep),
                        golden().at("context"),
                        classes ? golden().at("class_labels") : at::Tensor(),
                        config.time_cond_proj_dim ? golden().at("timestep_cond") : at::Tensor());
}

void expect_golden(const std::string& name, const UNetConfig& config) {
  const UNet2DConditionModel model = prepared(config);
  INFO(name << "\n" << ldm::test::listing(*model));
  CHECK(ldm::test::listing_hash(*model) == golden().metadata.at(name + ".listing"));
  for (const std::string size : {"8x12", "9x13"}) {
    for (const std::string timestep : {"timestep", "timesteps"}) {
      const std::string key = name + "." + size + "." + timestep;
      if (!golden().has(key)) continue;
      expect_close(run(model, size, timestep), golden().at(key), 1e-5, key);
    }
  }
}

}  // namespace

TEST_CASE("UNets of the published kinds compute what diffusers' compute", "[golden]") {
  for (const auto& [name, config] : ldm::test::tiny_published_unets()) {
    REQUIRE(golden().has(name + ".8x12.timestep"));
    REQUIRE(golden().has(name + ".9x13.timesteps"));
    expect_golden(name, config);
  }
}

TEST_CASE("UNets with unusual fields compute what diffusers' compute", "[golden]") {
  for (const auto& [name, config] : ldm::test::tiny_unusual_unets()) {
    REQUIRE(golden().has(name + ".8x12.timestep"));
    expect_golden(name, config);
  }
}

TEST_CASE("full-size UNets have diffusers' parameter names and shapes", "[golden]") {
  for (const auto& [name, config] : ldm::test::full_size_unets()) {
    const UNet2DConditionModel model(config);
    std::int64_t parameters = 0;
    for (const at::Tensor& parameter : model->parameters()) parameters += parameter.numel();
    INFO(name);
    CHECK(std::to_string(parameters) == golden().metadata.at(name + ".parameters"));
    CHECK(ldm::test::listing_hash(*model) == golden().metadata.at(name + ".listing"));
  }
}

TEST_CASE("a bf16 UNet stays near the fp32 result", "[golden]") {
  for (const std::string name : {"sd1", "sd2"}) {
    UNet2DConditionModel model = prepared(ldm::test::tiny_published_unets().at(name));
    model->to(at::kBFloat16);
    const at::Tensor output = run(model, "8x12", "timesteps");
    CHECK(output.scalar_type() == at::kBFloat16);
    // The largest error of diffusers in bf16 is 0.07 of the std here, as ours is; hence the mean.
    const at::Tensor expected = golden().at(name + ".8x12.timesteps");
    const at::Tensor error = output.to(at::kFloat) - expected;
    CHECK((error.norm() / (expected - expected.mean()).norm()).item<double>() < 4e-2);
  }
}

TEST_CASE("a UNet keeps channels_last and computes the same", "[golden]") {
  for (const std::string name : {"sd1", "sd2"}) {
    UNet2DConditionModel model = prepared(ldm::test::tiny_published_unets().at(name));
    for (at::Tensor& parameter : model->parameters()) {
      if (parameter.dim() != 4) continue;
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
    const at::Tensor output = run(model, "9x13", "timestep", at::MemoryFormat::ChannelsLast);
    CHECK(output.is_contiguous(at::MemoryFormat::ChannelsLast));
    expect_close(output, golden().at(name + ".9x13.timestep"), 1e-5, name);
  }
}

TEST_CASE("each image of a batch is computed as if alone") {
  const UNet2DConditionModel model = prepared(ldm::test::tiny_unet());
  const at::Tensor sample = at::randn({3, 4, 8, 8});
  const at::Tensor text = at::randn({3, 5, 24});
  const at::Tensor timestep = at::full({}, 17.5);
  const at::Tensor batch = model->forward(sample, timestep, text);
  for (std::int64_t i = 0; i < 3; ++i) {
    expect_close(model->forward(sample.narrow(0, i, 1), timestep, text.narrow(0, i, 1)),
                 batch.narrow(0, i, 1), 1e-5);
  }
}

TEST_CASE("building a full-size UNet allocates no weights") {
  const UNet2DConditionModel model(ldm::test::full_size_unets().at("sd15"));
  for (const at::Tensor& parameter : model->parameters()) {
    CHECK(parameter.storage().nbytes() <= sizeof(float));
  }
}

TEST_CASE("a UNet refuses wrong inputs") {
  UNetConfig config = ldm::test::tiny_unet();
  const UNet2DConditionModel model = prepared(config);
  const at::Tensor text = at::randn({1, 5, 24});
  const at::Tensor timestep = at::full({}, 1.0);
  CHECK_THROWS_AS(model->forward(at::randn({1, 9, 8, 8}), timestep, text), ldm::Error);
  CHECK_THROWS_AS(model->forward(at::randn({4, 8, 8}), timestep, text), ldm::Error);
  config.num_class_embeds = 3;
  const UNet2DConditionModel with_classes = prepared(config);
  CHECK_THROWS_AS(with_classes->forward(at::randn({1, 4, 8, 8}), timestep, text), ldm::Error);
}

TEST_CASE("latents that several texts share are predicted as if they were repeated") {
  const c10::InferenceMode inference;
  for (const auto& [name, config] : ldm::test::tiny_published_unets()) {
    if (config.num_class_embeds) continue;
    INFO(name);
    UNet2DConditionModel model = prepared(config);
    ldm::nn::pack_for_inference(*model);
    const at::Tensor sample =
        at::randn({2, config.in_channels, 8, 12}).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor texts = at::randn({4, 5, 24});
    const at::Tensor t = at::full({}, 500.0);
    const at::Tensor cond = config.time_cond_proj_dim ? at::randn({2, 12}) : at::Tensor();
    const at::Tensor apart = model->forward(ldm::nn::repeat_batch(sample, 4), t, texts, {},
                                            cond.defined() ? ldm::nn::repeat_batch(cond, 4) : cond);
    CHECK(model->forward(sample, t, texts, {}, cond).equal(apart));
  }
}
