#include "ldm/models/autoencoder_kl.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::AutoencoderKL;
using ldm::models::AutoencoderKLConfig;
using ldm::test::expect_close;
using ldm::test::Golden;

void set_levels(AutoencoderKLConfig& config, const std::vector<std::int64_t>& channels) {
  config.block_out_channels = channels;
  config.down_block_types.assign(channels.size(), "DownEncoderBlock2D");
  config.up_block_types.assign(channels.size(), "UpDecoderBlock2D");
}

// The models of scripts/goldens/vae.py by their names there.
AutoencoderKLConfig tiny(const std::string& name) {
  AutoencoderKLConfig config;
  config.norm_num_groups = 4;
  if (name == "f8") {
    set_levels(config, {8, 8, 16, 16});
    config.layers_per_block = 2;
  } else if (name == "f4") {
    set_levels(config, {8, 16, 16});
    config.down_block_types[2] = "AttnDownEncoderBlock2D";
    config.up_block_types[0] = "AttnUpDecoderBlock2D";
    config.latent_channels = 3;
    config.sample_size = 16;
  } else if (name == "plain") {
    set_levels(config, {8, 16});
    config.latent_channels = 16;
    config.use_quant_conv = false;
    config.use_post_quant_conv = false;
    config.mid_block_add_attention = false;
    config.shift_factor = 0.1159;
    config.scaling_factor = 0.3611;
    config.sample_size = 16;
  } else {
    set_levels(config, {8});
  }
  return config;
}

AutoencoderKL load(const Golden& golden, const std::string& name) {
  AutoencoderKL vae(tiny(name));
  golden.load_into(*vae, name + ".weights");
  return vae;
}

at::Tensor moments_of(const AutoencoderKL& vae, const at::Tensor& x) {
  const ldm::nn::DiagonalGaussian posterior = vae->encode(x);
  return at::cat({posterior.mean, posterior.logvar}, 1);
}

std::string listing(const torch::nn::Module& module, std::int64_t& count) {
  std::vector<std::string> lines;
  count = 0;
  for (const auto& item : module.named_parameters()) {
    std::string line = item.key();
    for (const std::int64_t size : item.value().sizes()) {
      line.append(" ").append(std::to_string(size));
    }
    lines.push_back(line.append("\n"));
    count += item.value().numel();
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

}  // namespace

TEST_CASE("AutoencoderKL encodes, samples and decodes as diffusers", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  const std::string name = GENERATE("f8", "f4", "plain", "f1");
  const AutoencoderKL vae = load(golden, name);
  const at::Tensor x = golden.at(name + ".x");
  expect_close(moments_of(vae, x), golden.at(name + ".moments"), 1e-5, name + " moments");
  const at::Tensor sample = vae->encode(x).sample(golden.at(name + ".noise"));
  expect_close(sample, golden.at(name + ".sample"), 1e-5, name + " sample");
  const at::Tensor decoded = vae->decode(golden.at(name + ".z"));
  expect_close(decoded, golden.at(name + ".decoded"), 1e-5, name + " decoded");
}

TEST_CASE("AutoencoderKL tiles as diffusers with enable_tiling", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  const std::string key = GENERATE("f8_tiled", "f8_tall", "f4_tiled", "plain_tiled");
  AutoencoderKL vae = load(golden, key.substr(0, key.find('_')));
  vae->use_tiling = true;
  vae->use_slicing = GENERATE(false, true);
  const at::Tensor x = golden.at(key + ".x");
  const at::Tensor z = golden.at(key + ".z");
  expect_close(moments_of(vae, x), golden.at(key + ".moments"), 1e-5, key + " moments");
  expect_close(vae->decode(z), golden.at(key + ".decoded"), 1e-5, key + " decoded");

  vae->use_tiling = false;
  CHECK((vae->decode(z) - golden.at(key + ".decoded")).abs().max().item<double>() > 1e-3);
}

TEST_CASE("AutoencoderKL leaves pictures within one tile whole", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  AutoencoderKL vae = load(golden, "f8");
  const at::Tensor x = golden.at("f8.x").narrow(2, 0, 32).narrow(3, 0, 32);
  const at::Tensor z = golden.at("f8.z").narrow(2, 0, 4).narrow(3, 0, 4);
  const at::Tensor moments = moments_of(vae, x);
  const at::Tensor decoded = vae->decode(z);
  vae->use_tiling = true;
  CHECK(moments.equal(moments_of(vae, x)));
  CHECK(decoded.equal(vae->decode(z)));
}

TEST_CASE("AutoencoderKL takes a batch one image at a time when slicing", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  AutoencoderKL vae = load(golden, "f8");
  vae->use_slicing = true;
  expect_close(moments_of(vae, golden.at("f8.x")), golden.at("f8.moments"), 1e-5, "moments");
  expect_close(vae->decode(golden.at("f8.z")), golden.at("f8.decoded"), 1e-5, "decoded");
}

TEST_CASE("AutoencoderKL gives the same in channels_last and keeps the format", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  const std::string name = GENERATE("f8", "f4");
  AutoencoderKL vae = load(golden, name);
  for (auto& parameter : vae->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  const at::Tensor z = golden.at(name + ".z").contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor decoded = vae->decode(z);
  CHECK(decoded.is_contiguous(at::MemoryFormat::ChannelsLast));
  expect_close(decoded, golden.at(name + ".decoded"), 1e-5, name + " decoded");
}

TEST_CASE("AutoencoderKL in bf16 stays near the fp32 reference", "[golden]") {
  const at::NoGradGuard no_grad;
  const Golden golden("vae");
  AutoencoderKL vae = load(golden, "f8");
  for (auto& parameter : vae->parameters()) parameter.set_data(parameter.to(at::kBFloat16));
  const at::Tensor moments = moments_of(vae, golden.at("f8.x"));
  const at::Tensor decoded = vae->decode(golden.at("f8.z"));
  CHECK(moments.scalar_type() == at::kBFloat16);
  CHECK(decoded.scalar_type() == at::kBFloat16);
  // Root mean square: the worst of thousands of pixels is 0.1 off in diffusers' own bf16 as well.
  const auto error = [](const at::Tensor& actual, const at::Tensor& expected) {
    return ((actual.to(at::kFloat) - expected).square().mean().sqrt() / expected.std())
        .item<double>();
  };
  CHECK(error(moments, golden.at("f8.moments")) < 4e-2);
  CHECK(error(decoded, golden.at("f8.decoded")) < 4e-2);
}

TEST_CASE("AutoencoderKL has the keys and shapes of Stable Diffusion's", "[golden]") {
  const Golden golden("vae");
  AutoencoderKLConfig config;
  set_levels(config, {128, 256, 512, 512});
  config.layers_per_block = 2;
  const AutoencoderKL vae(config);
  std::int64_t count = 0;
  CHECK(listing(*vae, count) == golden.metadata.at("sd_keys"));
  CHECK(std::to_string(count) == golden.metadata.at("sd_parameters"));
}

TEST_CASE("AutoencoderKL refuses inputs that do not fit") {
  const AutoencoderKL vae(tiny("f8"));
  CHECK_THROWS_AS(vae->encode(at::zeros({1, 4, 64, 64})), ldm::Error);
  CHECK_THROWS_AS(vae->encode(at::zeros({1, 3, 7, 64})), ldm::Error);
  CHECK_THROWS_AS(vae->encode(at::zeros({3, 64, 64})), ldm::Error);
  CHECK_THROWS_AS(vae->decode(at::zeros({1, 3, 8, 8})), ldm::Error);
  CHECK_THROWS_AS(vae->decode(at::zeros({0, 4, 8, 8})), ldm::Error);
}

TEST_CASE("AutoencoderKLConfig refuses what cannot be built") {
  const auto refused = [](auto change) {
    AutoencoderKLConfig config = tiny("f8");
    change(config);
    CHECK_THROWS_AS(config.validate(), ldm::Error);
    CHECK_THROWS_AS(AutoencoderKL(config), ldm::Error);
  };
  CHECK_NOTHROW(AutoencoderKLConfig{}.validate());
  CHECK(tiny("f8").downsampling() == 8);
  refused([](AutoencoderKLConfig& c) { c.block_out_channels.clear(); });
  refused([](AutoencoderKLConfig& c) { c.block_out_channels.back() = 18; });
  refused([](AutoencoderKLConfig& c) { c.block_out_channels.assign(40, 32); });
  refused([](AutoencoderKLConfig& c) { c.down_block_types.pop_back(); });
  refused([](AutoencoderKLConfig& c) { c.up_block_types[1] = "UpDecoderBlock3D"; });
  refused([](AutoencoderKLConfig& c) { c.down_block_types[1] = "UpDecoderBlock2D"; });
  refused([](AutoencoderKLConfig& c) { c.norm_num_groups = 0; });
  refused([](AutoencoderKLConfig& c) { c.layers_per_block = 0; });
  refused([](AutoencoderKLConfig& c) { c.sample_size = 0; });
  refused([](AutoencoderKLConfig& c) { c.scaling_factor = 0.0; });
  refused([](AutoencoderKLConfig& c) { c.latents_mean = {0.0, 0.0, 0.0, 0.0}; });
  refused([](AutoencoderKLConfig& c) { c.latents_std = {1.0, 1.0, 1.0, 1.0}; });

  AutoencoderKLConfig unknown = tiny("f8");
  unknown.act_fn = "sine";
  CHECK_THROWS_AS(AutoencoderKL(unknown), ldm::Error);
}

TEST_CASE("AutoencoderKLConfig lists each field once") {
  AutoencoderKLConfig config;
  std::vector<std::string> names;
  config.visit([&names](const char* name, const auto&) { names.emplace_back(name); });
  CHECK(names.size() == 18);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}
