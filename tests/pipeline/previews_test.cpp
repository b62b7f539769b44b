#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>

#include <fstream>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/hash.h"
#include "ldm/loading/components.h"
#include "ldm/loading/preview_map.h"
#include "ldm/loading/single_file.h"
#include "ldm/pipeline/latent_rgb.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/previewer.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<Components> open_tiny(const fs::path& path = test::test_file("golden/runs/sd1")) {
  return test::open_fp32(path);
}

Request request() {
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 5;
  request.sampler = "euler";
  request.width = 64;
  request.height = 64;
  request.seed = 7;
  return request;
}

struct Seen {
  std::vector<Image> previews;
  std::vector<ImageResult> results;
};

Seen run(std::shared_ptr<Components> components, const Request& wanted, int preview_every) {
  Seen seen;
  RunCallbacks callbacks;
  callbacks.preview_every = preview_every;
  callbacks.on_preview = [&](const Image& image) { seen.previews.push_back(image); };
  callbacks.on_image = [&](ImageResult&& result) { seen.results.push_back(std::move(result)); };
  Pipeline pipeline(std::move(components));
  pipeline.run(pipeline.plan(wanted), callbacks);
  return seen;
}

/// A copy of the tiny model with a map of its autoencoder's, fitted to weights of that SHA-256.
void write_model_with_map(const fs::path& folder, const std::string& sha256, int weights) {
  fs::copy(test::test_file("golden/runs/sd1"), folder, fs::copy_options::recursive);
  nlohmann::json map;
  map["weight"] = std::vector<double>(static_cast<std::size_t>(weights), 0.0);
  map["bias"] = {1.0, -1.0, 0.0};
  map["error"] = 12.5;
  map["weights_sha256"] = sha256;
  std::ofstream(folder / "vae/latent_rgb.json") << map.dump();
}

}  // namespace

TEST_CASE("the fitted map is the exact one where the latents are a linear map of the pixels") {
  const at::Tensor pixels = fitting_patterns(64);
  CHECK(pixels.amin().item<float>() >= -1.0F);
  CHECK(pixels.amax().item<float>() <= 1.0F);
  CHECK(at::equal(pixels, fitting_patterns(64)));
  const at::Tensor mix =
      at::tensor({0.5, -0.25, 1.0, 2.0, 0.75, 0.125, -1.0, 0.5, 0.25}).view({3, 3}).to(at::kFloat);
  const at::Tensor means = at::adaptive_avg_pool2d(pixels, {8, 8});
  const at::Tensor latents =
      (at::matmul(means.permute({0, 2, 3, 1}), mix.t()) + 0.5).permute({0, 3, 1, 2});
  const PreviewMap map = fit_latent_rgb(pixels, latents);
  test::expect_close(at::tensor(map.weight).view({3, 3}), at::linalg_inv(mix), 1e-4);
  test::expect_close(apply_latent_rgb(map, latents), means, 1e-4);
  CHECK(map.error < 0.05);
}

TEST_CASE("previews change no picture, and come every so many steps and at the end") {
  Request wanted = request();
  const Seen plain = run(open_tiny(), wanted, 0);
  CHECK(plain.previews.empty());
  const Seen watched = run(open_tiny(), wanted, 2);
  CHECK(watched.previews.size() == 3);
  CHECK(watched.results.front().image.rgb == plain.results.front().image.rgb);
  CHECK(watched.results.front().latents.values == plain.results.front().latents.values);
  for (const Image& preview : watched.previews) {
    CHECK(preview.width == 64);
    CHECK(preview.height == 64);
  }
  wanted.num_images = 2;
  wanted.batch_size = 2;
  const Seen both = run(open_tiny(), wanted, 5);
  REQUIRE(both.previews.size() == 1);
  CHECK(both.previews.front().width == 128);
  // The left half is the first image's preview, pixel by pixel.
  const Image& alone = watched.previews.back();
  int most = 0;
  for (int y = 0; y < 64; ++y) {
    for (int i = 0; i < 3 * 64; ++i) {
      const auto pair = static_cast<std::size_t>(y * 3 * 128 + i);
      const auto single = static_cast<std::size_t>(y * 3 * 64 + i);
      most = std::max(most, std::abs(both.previews.front().rgb[pair] - alone.rgb[single]));
    }
  }
  CHECK(most <= 1);
}

TEST_CASE("a preview shows the clean picture: the last one by the model's own decoder is the end") {
  // Euler's last step ends at sigma 0, where the sample is the predicted clean one.
  const std::shared_ptr<Components> components = open_tiny();
  use_preview_autoencoder(*components, open_vae_file(test::test_file("golden/runs/sd1/vae")));
  const Seen seen = run(components, request(), 1);
  REQUIRE(seen.previews.size() == 5);
  const std::vector<std::uint8_t>& last = seen.previews.back().rgb;
  const std::vector<std::uint8_t>& final = seen.results.front().image.rgb;
  REQUIRE(last.size() == final.size());
  int most = 0;
  for (std::size_t i = 0; i < last.size(); ++i) most = std::max(most, std::abs(last[i] - final[i]));
  CHECK(most <= 1);
}

TEST_CASE("a map that was fitted to these weights is used, one of other weights is not") {
  const test::TempDir dir;
  const fs::path weights =
      test::test_file("golden/runs/sd1/vae/diffusion_pytorch_model.safetensors");
  write_model_with_map(dir / "own", sha256_file(weights), 12);
  const Seen seen = run(open_tiny(dir / "own"), request(), 5);
  REQUIRE(seen.previews.size() == 1);
  CHECK(seen.previews.front().rgb[0] == 255);
  CHECK(seen.previews.front().rgb[1] == 0);
  CHECK(seen.previews.front().rgb[2] == 128);
  write_model_with_map(dir / "other", std::string(64, '0'), 12);
  const auto other = open_tiny(dir / "other");
  CHECK_FALSE(read_preview_map(other->files.component("vae"), 4).has_value());
  write_model_with_map(dir / "short", sha256_file(weights), 9);
  const auto broken = open_tiny(dir / "short");
  CHECK_THROWS_WITH(read_preview_map(broken->files.component("vae"), 4),
                    Catch::Contains("expected 12 weights and 3 biases, found 9 and 3"));
}

TEST_CASE("an autoencoder of another family cannot decode the previews") {
  const std::shared_ptr<Components> components = open_tiny();
  CHECK_THROWS_WITH(
      use_preview_autoencoder(*components, open_vae_file(default_model() / "vae")),
      Catch::Contains("latents of 16 channels and 1/8 of the size, the model's have 4 "
                      "and 1/8"));
}

TEST_CASE("the default model comes with a map of its own weights") {
  const auto components = open_tiny(default_model());
  const auto map = read_preview_map(components->files.component("vae"),
                                    components->vae.bare().shape().latent_channels);
  REQUIRE(map.has_value());
  CHECK(map->error < 40);
}

}  // namespace ldm
