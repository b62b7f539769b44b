#include "ldm/models/vq_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::VQModel;
using ldm::models::VQModelConfig;
using ldm::test::expect_close;
using ldm::test::Golden;

void set_levels(VQModelConfig& config, const std::vector<std::int64_t>& channels) {
  config.block_out_channels = channels;
  config.down_block_types.assign(channels.size(), "DownEncoderBlock2D");
  config.up_block_types.assign(channels.size(), "UpDecoderBlock2D");
}

// The models of scripts/goldens/vq.py by their names there.
VQModelConfig tiny(const std::string& name) {
  VQModelConfig config;
  set_levels(config, {8, 16, 16});
  config.norm_num_groups = 4;
  config.num_vq_embeddings = 40;
  config.sample_size = 16;
  if (name == "attention") {
    set_levels(config, {8, 8, 16, 16});
    config.down_block_types.back() = "AttnDownEncoderBlock2D";
    config.up_block_types.front() = "AttnUpDecoderBlock2D";
    config.layers_per_block = 2;
    config.latent_channels = 4;
    config.vq_embed_dim = 2;
    config.num_vq_embeddings = 57;
  } else if (name == "no_attention") {
    set_levels(config, {8, 16});
    config.mid_block_add_attention = false;
    config.latent_channels = 8;
    config.lookup_from_codebook = true;
    config.act_fn = "gelu";
  }
  return config;
}

VQModel prepared(const std::string& name) {
  VQModel model(tiny(name));
  ldm::test::fill_reference_weights(*model);
  return model;
}

}  // namespace

TEST_CASE("VQModel encodes, quantises and decodes as diffusers", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vq");
  const std::string name = GENERATE("f4", "attention", "no_attention");
  const VQModel model = prepared(name);
  INFO(name << "\n" << ldm::test::listing(*model));
  CHECK(ldm::test::listing_hash(*model) == golden.metadata.at(name + ".listing"));

  const ldm::nn::DiagonalGaussian latents = model->encode(golden.at(name + ".x"));
  CHECK(latents.is_point());
  expect_close(latents.mode(), golden.at(name + ".latents"), 1e-5, name + " latents");
  const at::Tensor z = golden.at(name + ".z");
  const auto [z_q, indices] = model->quantize->quantize(z);
  CHECK(indices.equal(golden.at(name + ".indices").to(at::kLong)));
  expect_close(z_q, golden.at(name + ".z_q"), 1e-5, name + " z_q");
  const at::Tensor decoded = model->decode(z);
  expect_close(decoded, golden.at(name + ".decoded"), 1e-5, name + " decoded");
  CHECK(model->decode(z_q).equal(decoded));
}

TEST_CASE("VQModel works in tiles and stays near the whole") {
  const at::NoGradGuard no_grad;
  VQModel model = prepared("f4");
  const at::Tensor z = Golden("vq").at("f4.z").repeat({1, 1, 3, 4});
  const at::Tensor whole = model->decode(z);
  const at::Tensor latents = model->encode(whole).mode();
  model->use_tiling = true;
  const at::Tensor tiled = model->decode(z);
  CHECK(tiled.sizes() == whole.sizes());
  CHECK_FALSE(tiled.equal(whole));
  // Group norms see one tile at a time, so equality is not to be had.
  CHECK((tiled - whole).abs().mean().item<double>() < whole.std().item<double>());
  CHECK(model->encode(whole).mode().sizes() == latents.sizes());
  CHECK(model->decode(z.narrow(2, 0, 4).narrow(3, 0, 4)).size(2) == 16);
}

TEST_CASE("VQModel runs in bf16 and channels_last") {
  const at::NoGradGuard no_grad;
  const Golden golden("vq");
  VQModel model = prepared("f4");
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  const at::Tensor z = golden.at("f4.z").contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor decoded = model->decode(z);
  CHECK(decoded.is_contiguous(at::MemoryFormat::ChannelsLast));
  expect_close(decoded, golden.at("f4.decoded"), 1e-5, "channels_last");
  model->to(at::kBFloat16);
  CHECK(model->decode(z).scalar_type() == at::kBFloat16);
  CHECK(model->encode(golden.at("f4.x")).mode().scalar_type() == at::kBFloat16);
}

TEST_CASE("VQModel says what a pipeline needs") {
  const ldm::models::AutoencoderShape shape = VQModel(tiny("attention"))->shape();
  CHECK(shape.latent_channels == 2);
  CHECK(shape.downsampling == 8);
  CHECK(shape.sample_size == 16);
  CHECK(shape.scaling_factor == 0.18215);
  CHECK_FALSE(shape.force_upcast);
}

TEST_CASE("VQModel refuses inputs that do not fit") {
  const VQModel model(tiny("f4"));
  CHECK_THROWS_AS(model->encode(at::zeros({1, 4, 16, 16})), ldm::Error);
  CHECK_THROWS_AS(model->encode(at::zeros({1, 3, 3, 16})), ldm::Error);
  CHECK_THROWS_AS(model->decode(at::zeros({1, 4, 4, 4})), ldm::Error);
}

TEST_CASE("VQModelConfig refuses what cannot be built") {
  const auto refused = [](auto change) {
    VQModelConfig config = tiny("f4");
    change(config);
    CHECK_THROWS_AS(config.validate(), ldm::Error);
    CHECK_THROWS_AS(VQModel(config), ldm::Error);
  };
  CHECK_NOTHROW(VQModelConfig{}.validate());
  refused([](VQModelConfig& c) { c.norm_type = "spatial"; });
  refused([](VQModelConfig& c) { c.num_vq_embeddings = 0; });
  refused([](VQModelConfig& c) { c.vq_embed_dim = 0; });
  refused([](VQModelConfig& c) { c.block_out_channels.clear(); });
  refused([](VQModelConfig& c) { c.block_out_channels.back() = 18; });
  refused([](VQModelConfig& c) { c.down_block_types.pop_back(); });
  refused([](VQModelConfig& c) { c.up_block_types[1] = "AttnDownEncoderBlock2D"; });
  refused([](VQModelConfig& c) { c.scaling_factor = 0.0; });
  refused([](VQModelConfig& c) { c.latent_channels = 0; });
}
