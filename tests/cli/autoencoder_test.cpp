#include <cmath>
#include <cstdlib>
#include <fstream>

#include "ldm/io/image.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

const std::string kApple = LDM_SOURCE_DIR "/weights/default/apple.png";

double mean_difference(const Image& a, const Image& b) {
  REQUIRE(a.rgb.size() == b.rgb.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

TEST_CASE("a picture is encoded to latents and decoded back") {
  const TempDir dir;
  const ProgramResult encoded = ldm_gen_in(dir, {"encode", kApple, "-o", "l.safetensors"});
  INFO(encoded.err);
  REQUIRE(encoded.exit_code == 0);
  CHECK(encoded.out == "l.safetensors\n");
  const SafetensorsFile file(dir / "l.safetensors");
  REQUIRE(file.find("latents") != nullptr);
  CHECK(file.find("latents")->shape == std::vector<std::int64_t>{1, 16, 16, 16});
  const ProgramResult decoded = ldm_gen_in(dir, {"decode", "l.safetensors", "-o", "back.png"});
  REQUIRE(decoded.exit_code == 0);
  CHECK(mean_difference(load_image(kApple), load_image(dir / "back.png")) < 8);
  // A seed draws from the posterior, without one its mean is taken; both are repeatable.
  REQUIRE(ldm_gen_in(dir, {"encode", kApple, "-o", "s.safetensors", "-s", "3"}).exit_code == 0);
  REQUIRE(ldm_gen_in(dir, {"encode", kApple, "-o", "s.safetensors", "-s", "3"}).exit_code == 0);
  CHECK(ldm_gen_in(dir, {"encode", kApple, "-o", "s.safetensors"}).exit_code == 5);
}

TEST_CASE("latents that do not fit the autoencoder are an input error") {
  const TempDir dir;
  const std::vector<float> values(3 * 4 * 4);
  const std::vector<TensorData> tensors = {
      {"latents", DType::F32, {1, 3, 4, 4}, std::as_bytes(std::span(values))}};
  write_safetensors(dir / "three.safetensors", tensors, {}, IfExists::kRefuse);
  const ProgramResult wrong = ldm_gen_in(dir, {"decode", "three.safetensors"});
  CHECK(wrong.exit_code == 3);
  CHECK(wrong.err.find("[N, 16, h, w]") != std::string::npos);
  CHECK(!fs::exists(dir / "three.png"));
  CHECK(ldm_gen_in(dir, {"encode"}).exit_code == 2);
  CHECK(ldm_gen_in(dir, {"decode", "missing.safetensors"}).exit_code == 3);
}

TEST_CASE("another autoencoder can stand in for the model's own") {
  const TempDir dir;
  const std::string vae = LDM_SOURCE_DIR "/weights/default/vae";
  const ProgramResult own =
      ldm_gen_in(dir, {"-p", "a", "-s", "1", "--steps", "2", "-o", "own.png"});
  const ProgramResult other =
      ldm_gen_in(dir, {"-p", "a", "-s", "1", "--steps", "2", "-o", "other.png", "--vae", vae});
  INFO(other.err);
  REQUIRE(own.exit_code == 0);
  REQUIRE(other.exit_code == 0);
  CHECK(load_image(dir / "own.png").rgb == load_image(dir / "other.png").rgb);
  CHECK(ldm_gen_in(dir, {"-p", "a", "--vae", "none"}).exit_code == 4);
}

TEST_CASE("verify tells a sound model from a damaged one") {
  const TempDir dir;
  const fs::path model = linked_model(dir);
  const ProgramResult sound = ldm_gen_in(dir, {"verify", "model", "--json"});
  INFO(sound.err);
  REQUIRE(sound.exit_code == 0);
  for (const auto& component : nlohmann::json::parse(sound.out)["components"]) {
    CHECK(component["sound"] == true);
  }
  const fs::path weights = model / "vae/diffusion_pytorch_model.safetensors";
  std::ifstream in(weights, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  bytes[bytes.size() - 1] = '\x7f';  // the last fp16 number becomes a NaN
  bytes[bytes.size() - 2] = '\x01';
  replace_file(weights, bytes, dir);
  const ProgramResult damaged = ldm_gen_in(dir, {"verify", "model"});
  CHECK(damaged.exit_code == 4);
  CHECK(damaged.out.find("non-finite") != std::string::npos);
  CHECK(damaged.err.find(": vae") != std::string::npos);
  CHECK(damaged.err.find("not sound") != std::string::npos);
}

}  // namespace
}  // namespace ldm::test
