#include <array>
#include <fstream>
#include <map>
#include <span>
#include <vector>

#include "ldm/io/hash.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

/// A ControlNet for the tiny model: the first half of its UNet, and small constants behind it.
void write_controlnet(const fs::path& path) {
  const SafetensorsFile unet(tiny_model() / "unet/diffusion_pytorch_model.fp16.safetensors");
  std::map<std::string, std::vector<std::byte>> bytes;
  std::vector<TensorData> tensors;
  for (const TensorInfo& info : unet.header().tensors) {
    if (info.name.starts_with("up_blocks") || info.name.starts_with("conv_norm_out") ||
        info.name.starts_with("conv_out")) {
      continue;
    }
    bytes[info.name].resize(info.byte_size());
    unet.read(info, bytes[info.name]);
    tensors.push_back({info.name, info.dtype, info.shape, bytes[info.name]});
  }
  std::map<std::string, std::vector<float>> values;
  const auto add = [&](const std::string& name, std::int64_t out, std::int64_t in,
                       std::int64_t side) {
    std::vector<float>& weight = values[name + ".weight"];
    weight.assign(static_cast<std::size_t>(out * in * side * side), 0.05F);
    tensors.push_back(
        {name + ".weight", DType::F32, {out, in, side, side}, std::as_bytes(std::span(weight))});
    std::vector<float>& bias = values[name + ".bias"];
    bias.assign(static_cast<std::size_t>(out), 0.01F);
    tensors.push_back({name + ".bias", DType::F32, {out}, std::as_bytes(std::span(bias))});
  };
  const std::string hint = "controlnet_cond_embedding.";
  add(hint + "conv_in", 4, 3, 3);
  constexpr std::array<std::array<std::int64_t, 2>, 6> kHint = {
      {{4, 4}, {4, 4}, {4, 4}, {8, 4}, {8, 8}, {8, 8}}};
  for (std::size_t i = 0; i < kHint.size(); ++i) {
    add(hint + "blocks." + std::to_string(i), kHint[i][0], kHint[i][1], 3);
  }
  add(hint + "conv_out", 16, 8, 3);
  constexpr std::array<std::int64_t, 4> kWidths = {16, 16, 16, 32};
  for (std::size_t i = 0; i < kWidths.size(); ++i) {
    add("controlnet_down_blocks." + std::to_string(i), kWidths[i], kWidths[i], 1);
  }
  add("controlnet_mid_block", 32, 32, 1);
  write_safetensors(path, tensors, {}, IfExists::kReplace);
}

Args tiny(Args more, const std::string& seed = "3") {
  more.insert(more.begin(), {"-p", "a red apple", "--steps", "3", "--threads", "1", "-s", seed,
                             "-m", tiny_model().string()});
  return more;
}

}  // namespace

TEST_CASE("a ControlNet follows its picture, is recorded and replayed") {
  const TempDir dir;
  write_controlnet(dir / "net.safetensors");
  const auto make = [&](Args more) {
    const ProgramResult result = ldm_gen_in(dir, tiny(std::move(more)));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  };
  make({"-o", "plain.png"});
  REQUIRE(ldm_gen_in(dir, tiny({"-o", "other.png"}, "4")).exit_code == 0);
  const Args controlled = {"--controlnet", "net.safetensors:0.8", "--control-image", "plain.png"};
  const auto with = [&](Args more) {
    more.insert(more.begin(), controlled.begin(), controlled.end());
    return more;
  };
  make(with({"-o", "a.png"}));
  make(with({"-o", "edges.png", "--canny", "20,60", "--control-end", "0.7"}));
  CHECK(largest_difference(load_image(dir / "a.png"), load_image(dir / "plain.png")) > 0);
  CHECK(largest_difference(load_image(dir / "a.png"), load_image(dir / "edges.png")) > 0);

  const nlohmann::json settings = settings_of(dir / "edges.png");
  CHECK(settings["controlnet"][0]["name"] == "net.safetensors");
  CHECK(settings["controlnet"][0]["scale"] == 0.8);
  CHECK(settings["control_image_sha256"][0] == sha256_file(dir / "plain.png"));
  CHECK(settings["weights"]["controlnet"] == sha256_file(dir / "net.safetensors"));
  CHECK(settings["request"]["canny"][0] == "20,60");
  CHECK(settings["request"]["control_end"] == 0.7);

  const auto replay = [&](Args more) {
    more.insert(more.begin(), {"replay", "edges.png", "-m", tiny_model().string()});
    return ldm_gen_in(dir, std::move(more));
  };
  const ProgramResult again =
      replay({"--controlnet", "net.safetensors", "--control-image", "plain.png"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK(replay({}).exit_code == 2);
  CHECK(replay({"--controlnet", "net.safetensors", "--control-image", "other.png"}).exit_code == 3);
}

TEST_CASE("in a batch each job follows its own picture, as it would alone") {
  const TempDir dir;
  write_controlnet(dir / "net.safetensors");
  REQUIRE(ldm_gen_in(dir, tiny({"-o", "one.png"})).exit_code == 0);
  REQUIRE(ldm_gen_in(dir, tiny({"-o", "two.png"}, "9")).exit_code == 0);
  std::ofstream(dir / "jobs.jsonl") << R"({"control_image": ["one.png"], "num_images": 2})"
                                    << "\n"
                                    << R"({"control_image": ["two.png"], "seed": 3})"
                                    << "\n";
  const ProgramResult batch =
      ldm_gen_in(dir, tiny({"--jobs", "jobs.jsonl", "--output-dir", "out", "--batch-size", "2",
                            "--controlnet", "net.safetensors", "--name-template", "{index}.png"}));
  INFO(batch.err);
  REQUIRE(batch.exit_code == 0);
  const auto alone = [&](const std::string& control, const std::string& seed) {
    const ProgramResult result =
        ldm_gen_in(dir, tiny({"-o", "alone.png", "--overwrite", "--controlnet", "net.safetensors",
                              "--control-image", control},
                             seed));
    REQUIRE(result.exit_code == 0);
    return load_image(dir / "alone.png");
  };
  CHECK(largest_difference(load_image(dir / "out/0.png"), alone("one.png", "3")) <= 1);
  CHECK(largest_difference(load_image(dir / "out/1.png"), alone("one.png", "4")) <= 1);
  CHECK(largest_difference(load_image(dir / "out/2.png"), alone("two.png", "3")) <= 1);
}

TEST_CASE("control options that cannot work are refused before anything is read") {
  const TempDir dir;
  const auto refused = [&](Args more, const std::string& message) {
    more.insert(more.end(), {"-o", "a.png"});
    const ProgramResult result = ldm_gen_in(dir, tiny(std::move(more)));
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find(message) != std::string::npos);
  };
  refused({"--canny", "100,200"}, "need a control image");
  refused({"--canny", "200,100", "--control-image", "a.png"}, "\"200,100\" is not two numbers");
  refused({"--canny", "1,2", "--canny", "off", "--control-image", "a.png"},
          "--canny is given 2 times for 1 control images");
  refused({"--control-start", "0.5", "--control-end", "0.2", "--control-image", "a.png"},
          "--control-start 0.5 is behind --control-end 0.2");
  CHECK(ldm_gen_in(dir, tiny({"-o", "a.png", "--controlnet", "none"})).exit_code == 4);
}

TEST_CASE("a heat map is written as a second picture beside the first and leaves that alone") {
  const TempDir dir;
  REQUIRE(ldm_gen_in(dir, tiny({"-o", "plain.png"})).exit_code == 0);
  const ProgramResult result = ldm_gen_in(dir, tiny({"-o", "a.png", "--heatmap", "apple"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out == "a.png\na.heatmap.png\n");
  CHECK(slurp(dir / "a.png") == slurp(dir / "plain.png"));
  CHECK(load_image(dir / "a.heatmap.png").width == load_image(dir / "a.png").width);
  const ProgramResult lacking = ldm_gen_in(dir, tiny({"-o", "b.png", "--heatmap", "pear"}));
  CHECK(lacking.exit_code == 2);
  CHECK(lacking.err.find("the prompt has no \"pear\"") != std::string::npos);
}

}  // namespace ldm::test
