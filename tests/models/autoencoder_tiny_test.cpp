#include "ldm/models/autoencoder_tiny.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "ldm/core/error.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::AutoencoderTiny;
using ldm::models::AutoencoderTinyConfig;
using ldm::test::expect_close;
using ldm::test::Golden;

// The models of scripts/goldens/taesd.py by their names there.
AutoencoderTinyConfig tiny(const std::string& name) {
  AutoencoderTinyConfig config;
  if (name == "f2") {
    config.encoder_block_out_channels = {6, 6};
    config.decoder_block_out_channels = {10, 10};
    config.num_encoder_blocks = {1, 2};
    config.num_decoder_blocks = {2, 0};
    config.latent_channels = 16;
    config.act_fn = "gelu";
    return config;
  }
  config.encoder_block_out_channels = {8, 8, 8, 8};
  config.decoder_block_out_channels = {8, 8, 8, 8};
  config.num_encoder_blocks = {1, 2, 1, 1};
  config.num_decoder_blocks = {1, 1, 2, 1};
  return config;
}

AutoencoderTiny prepared(const std::string& name) {
  AutoencoderTiny model(tiny(name));
  ldm::test::fill_reference_weights(*model);
  return model;
}

}  // namespace

TEST_CASE("AutoencoderTiny encodes and decodes as diffusers", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("taesd");
  const std::string name = GENERATE("taesd", "f2");
  const AutoencoderTiny model = prepared(name);
  INFO(name << "\n" << ldm::test::listing(*model));
  CHECK(ldm::test::listing_hash(*model) == golden.metadata.at(name + ".listing"));
  const ldm::nn::DiagonalGaussian latents = model->encode(golden.at(name + ".x"));
  CHECK(latents.is_point());
  expect_close(latents.mode(), golden.at(name + ".latents"), 1e-5, name + " latents");
  expect_close(model->decode(golden.at(name + ".z")), golden.at(name + ".decoded"), 1e-5, name);
}

TEST_CASE("AutoencoderTiny tiles as diffusers with enable_tiling", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("taesd");
  AutoencoderTiny model = prepared("taesd");
  model->use_tiling = true;
  model->tiling = {64, 8, 0.25};
  expect_close(model->encode(golden.at("tiled.x")).mode(), golden.at("tiled.latents"), 1e-5);
  const at::Tensor tiled = model->decode(golden.at("tiled.z"));
  expect_close(tiled, golden.at("tiled.decoded"), 1e-5);
  model->use_tiling = false;
  CHECK_FALSE(model->decode(golden.at("tiled.z")).allclose(tiled));
}

TEST_CASE("AutoencoderTiny has TAESD's keys and shapes and says what a pipeline needs",
          "[golden]") {
  const AutoencoderTiny model(AutoencoderTinyConfig{});
  CHECK(ldm::test::listing_hash(*model) == Golden("taesd").metadata.at("full_size.listing"));
  const ldm::models::AutoencoderShape shape = model->shape();
  CHECK(shape.latent_channels == 4);
  CHECK(shape.downsampling == 8);
  CHECK(shape.scaling_factor == 1.0);
  CHECK(model->tiling.tile_sample_min_size == 512);
}

TEST_CASE("AutoencoderTiny bounds wild latents and follows the weights' dtype") {
  const at::NoGradGuard no_grad;
  AutoencoderTiny model = prepared("taesd");
  const at::Tensor wild = model->decode(at::full({1, 4, 3, 3}, 1e30));
  CHECK(wild.isfinite().all().item<bool>());
  model->to(at::kBFloat16);
  CHECK(model->decode(at::zeros({1, 4, 3, 3})).scalar_type() == at::kBFloat16);
  CHECK(model->encode(at::zeros({1, 3, 8, 8})).mode().scalar_type() == at::kBFloat16);
}

TEST_CASE("AutoencoderTiny refuses inputs and configs that do not fit") {
  const AutoencoderTiny model(tiny("taesd"));
  CHECK_THROWS_AS(model->encode(at::zeros({1, 4, 16, 16})), ldm::Error);
  CHECK_THROWS_AS(model->decode(at::zeros({1, 3, 4, 4})), ldm::Error);
  const auto refused = [](auto change) {
    AutoencoderTinyConfig config;
    change(config);
    CHECK_THROWS_AS(config.validate(), ldm::Error);
    CHECK_THROWS_AS(AutoencoderTiny(config), ldm::Error);
  };
  CHECK_NOTHROW(AutoencoderTinyConfig{}.validate());
  refused([](AutoencoderTinyConfig& c) { c.num_encoder_blocks.clear(); });
  refused([](AutoencoderTinyConfig& c) { c.num_decoder_blocks = {1, 1, 1}; });
  refused([](AutoencoderTinyConfig& c) { c.num_decoder_blocks = {1, 1, 1, -1}; });
  refused([](AutoencoderTinyConfig& c) { c.encoder_block_out_channels = {64, 64, 64, 32}; });
  refused([](AutoencoderTinyConfig& c) { c.upsample_fn = "bilinear"; });
  refused([](AutoencoderTinyConfig& c) { c.upsampling_scaling_factor = 4; });
  refused([](AutoencoderTinyConfig& c) { c.shift_factor = 0.1; });
  refused([](AutoencoderTinyConfig& c) { c.scaling_factor = 0.0; });
}
