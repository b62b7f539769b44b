#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/config_fields.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/registry.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::expect_close;
using test::Golden;

const Golden& golden() {
  static const Golden file("conditioned");
  return file;
}

fs::path configs() { return fs::path(LDM_SOURCE_DIR) / "configs"; }

json family(const std::string& name) {
  return json::parse(test::slurp(configs() / (name + ".json")));
}

ComponentFiles component(const std::string& part, const json& config) {
  return {part, config.at("_class_name"), config, "configs: " + part, nullptr};
}

std::shared_ptr<torch::nn::Module> make(const std::string& part, const json& config) {
  if (part == "unet") return make_denoiser(component(part, config));
  return make_autoencoder(component(part, config));
}

/// The configs whose tiny forms scripts/goldens/conditioned.py ran, `is_wanted` by class.
template <class Predicate>
std::vector<std::string> families_run(const Predicate& is_wanted) {
  std::vector<std::string> names;
  for (const auto& [key, value] : golden().metadata) {
    if (!key.ends_with(".run")) continue;
    if (is_wanted(json::parse(value))) names.push_back(key.substr(0, key.size() - 4));
  }
  return names;
}

bool is_denoiser(const json& config) {
  return config.at("_class_name").get<std::string>().starts_with("UNet");
}

}  // namespace

TEST_CASE("every network of configs/ has diffusers' parameter names and shapes", "[golden]") {
  int networks = 0;
  for (const fs::directory_entry& file : fs::directory_iterator(configs())) {
    if (file.is_directory()) continue;  // configs of training runs
    const std::string name = file.path().stem().string();
    const json parts = family(name);
    for (const auto& [part, config] : parts.items()) {
      if (part != "unet" && part != "vae" && part != "vqvae") continue;
      const std::string key = name + "." + part;
      INFO(key);
      const auto module = make(part, config);
      std::int64_t parameters = 0;
      for (const at::Tensor& parameter : module->parameters()) parameters += parameter.numel();
      CHECK(std::to_string(parameters) == golden().metadata.at(key + ".parameters"));
      CHECK(test::listing_hash(*module) == golden().metadata.at(key + ".listing"));
      ++networks;
    }
  }
  CHECK(networks == 42);
}

TEST_CASE("the denoisers of configs/ compute what diffusers' compute", "[golden]") {
  const at::NoGradGuard no_grad;
  const std::vector<std::string> names = families_run(is_denoiser);
  CHECK(names.size() == 10);
  for (const std::string& name : names) {
    const json config = json::parse(golden().metadata.at(name + ".run"));
    const auto unet = make_denoiser(component("unet", config));
    test::fill_reference_weights(*unet);
    const models::DenoiserShape shape = unet->shape();
    CHECK(shape.context_dim == config.value("cross_attention_dim", 0));
    CHECK(shape.num_classes == (name == "sd-x4-upscaler" ? 1000 : 0));
    const at::Tensor output =
        unet->denoise(golden().at(name + ".sample"), golden().at("timesteps"),
                      shape.context_dim > 0 ? golden().at("context") : at::Tensor(),
                      shape.num_classes > 0 ? golden().at("class_labels") : at::Tensor());
    expect_close(output, golden().at(name + ".out"), 1e-5, name);
  }
}

TEST_CASE("the autoencoders of configs/ compute what diffusers' compute", "[golden]") {
  const at::NoGradGuard no_grad;
  const std::vector<std::string> names =
      families_run([](const json& config) { return !is_denoiser(config); });
  CHECK(names.size() == 7);
  for (const std::string& name : names) {
    const json config = json::parse(golden().metadata.at(name + ".run"));
    const auto vae = make_autoencoder(component("vae", config));
    test::fill_reference_weights(*vae);
    CHECK(vae->shape().downsampling == std::stoi(name.substr(4)));
    const nn::DiagonalGaussian latents = vae->encode(golden().at(name + ".x"));
    CHECK(latents.is_point() == name.starts_with("vq"));
    expect_close(latents.mode(), golden().at(name + ".latents"), 1e-5, name + " latents");
    expect_close(vae->decode(golden().at(name + ".z")), golden().at(name + ".decoded"), 1e-5,
                 name + " decoded");
  }
}

TEST_CASE("a family's parts fit together") {
  for (const fs::directory_entry& file : fs::directory_iterator(configs())) {
    if (file.is_directory()) continue;  // configs of training runs
    const json parts = family(file.path().stem().string());
    if (!parts.contains("unet")) continue;
    INFO(file.path().string());
    const models::DenoiserShape unet = make_denoiser(component("unet", parts["unet"]))->shape();
    const std::string autoencoder = parts.contains("vqvae") ? "vqvae" : "vae";
    const models::AutoencoderShape vae =
        make_autoencoder(component(autoencoder, parts[autoencoder]))->shape();
    CHECK(unet.out_channels == vae.latent_channels);
    std::int64_t context = 0;
    if (parts.contains("text_encoder")) {
      const json& text = parts["text_encoder"];
      context = text.value("project_dim", text["hidden_size"].get<std::int64_t>());
    }
    if (parts.contains("bert")) context = parts["bert"]["d_model"];
    if (parts.contains("class_embedder")) context = parts["class_embedder"]["embed_dim"];
    CHECK(unet.context_dim == context);
    for (const auto& [part, value] : parts["model_index"].items()) {
      if (value.is_array() && value[0].is_string()) CHECK(parts.contains(part));
    }
  }
}

TEST_CASE("the schedules of configs/ are the published ones") {
  struct Row {
    const char* family;
    double first;  // of the cumulative products of alphas
    double last;
    const char* prediction;
  };
  const Row rows[] = {{"txt2img-large", 0.99915, 0.0046601, "epsilon"},
                      {"text2img256", 0.99850, 0.00014230, "epsilon"},
                      {"cin256", 0.99850, 0.00014230, "epsilon"},
                      {"cin256-v2", 0.99850, 0.00014230, "epsilon"},
                      {"celebahq256", 0.99850, 0.00014230, "epsilon"},
                      {"ffhq256", 0.99850, 0.00014230, "epsilon"},
                      {"lsun-beds256", 0.99850, 0.00014230, "epsilon"},
                      {"lsun-churches256", 0.99850, 0.00066867, "epsilon"},
                      {"sd-depth", 0.99915, 0.0046601, "epsilon"},
                      {"instruct-pix2pix", 0.99915, 0.0046601, "epsilon"},
                      {"sd-x4-upscaler", 0.99990, 0.00073341, "v_prediction"}};
  for (const Row& row : rows) {
    INFO(row.family);
    const json scheduler = family(row.family).at("scheduler");
    SchedulerConfig config =
        find_sampler_by_class(scheduler.at("_class_name").get<std::string>()).defaults();
    read_fields(scheduler, config, row.family);
    CHECK(config.prediction_type == row.prediction);
    const std::vector<float> alphas = alphas_cumprod_table(config, true);
    CHECK(std::abs(alphas.front() - row.first) < 6e-6);
    CHECK(std::abs(alphas.back() / row.last - 1) < 4e-5);
  }
}

TEST_CASE("a class that is none of its kind is refused by name") {
  const json config = {{"_class_name", "VQModel"}};
  CHECK_THROWS_AS(make_denoiser(component("unet", config)), Error);
  CHECK_NOTHROW(make_autoencoder(component("vae", config)));
  CHECK_NOTHROW(make_autoencoder(component("vae", {{"_class_name", "AutoencoderTiny"}})));
  CHECK_NOTHROW(make_denoiser(component("unet", {{"_class_name", "UNet2DModel"}})));
}

}  // namespace ldm
