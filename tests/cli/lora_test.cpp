#include <map>
#include <vector>

#include "ldm/io/hash.h"
#include "ldm/io/png.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

constexpr const char* kBlock = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_";

Args quick(Args more) {
  Args args = {"-p", "a red apple", "--steps", "2", "--threads", "1", "-s", "3"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

/// A kohya file for the default model: rank 1, on the values of its first cross-attention.
void write_lora(const fs::path& path, const Args& layers) {
  std::map<std::string, std::vector<float>> values;
  std::vector<TensorData> tensors;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    std::vector<float>& data = values[name];
    data.assign(static_cast<std::size_t>(shape[0] * shape[1]), 0.05F);
    tensors.push_back({name, DType::F32, std::move(shape), std::as_bytes(std::span(data))});
  };
  for (const std::string& layer : layers) {
    add(layer + ".lora_up.weight", {96, 1});
    add(layer + ".lora_down.weight", {1, 128});
  }
  write_safetensors(path, tensors, {}, IfExists::kReplace);
}

Args matching() { return {std::string("lora_unet_") + kBlock + "to_v"}; }

}  // namespace

TEST_CASE("a LoRA changes the picture by its scale and is recorded in it") {
  const TempDir dir;
  write_lora(dir / "style.safetensors", matching());
  const auto make = [&](const std::string& output, Args more) {
    more.insert(more.end(), {"--metadata", "none", "-o", output});
    const ProgramResult result = ldm_gen_in(dir, quick(std::move(more)));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return slurp(dir / output);
  };
  const std::string before = make("plain.png", {});
  const std::string after = make("lora.png", {"--lora", "style.safetensors"});
  CHECK(before != after);
  CHECK(make("zero.png", {"--lora", "style.safetensors:0"}) == before);
  // Two halves are rounded twice.
  make("two.png", {"--lora", "style.safetensors:0.5", "--lora", "style.safetensors:0.5"});
  CHECK(largest_difference(load_image(dir / "two.png"), load_image(dir / "lora.png")) <= 1);
  REQUIRE(ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.5", "-o", "full.png"})).exit_code ==
          0);
  const nlohmann::json lora = settings_of(dir / "full.png")["lora"];
  REQUIRE(lora.size() == 1);
  CHECK(lora[0]["name"] == "style.safetensors");
  CHECK(lora[0]["scale"] == 0.5);
  CHECK(lora[0]["sha256"] == sha256_file(dir / "style.safetensors"));
  const ProgramResult other =
      ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.75", "-o", "full.png"}));
  CHECK(other.exit_code == 5);
}

TEST_CASE("a picture made with a LoRA is made again with it and its recorded scale") {
  const TempDir dir;
  write_lora(dir / "style.safetensors", matching());
  write_lora(dir / "other.safetensors", {std::string("lora_unet_") + kBlock + "to_k"});
  REQUIRE(ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.5", "-o", "a.png"})).exit_code ==
          0);
  const ProgramResult lacking = ldm_gen_in(dir, {"replay", "a.png"});
  CHECK(lacking.exit_code == 2);
  CHECK_THAT(lacking.err, Contains("in this order: style.safetensors"));
  const ProgramResult other = ldm_gen_in(dir, {"replay", "a.png", "--lora", "other.safetensors"});
  CHECK(other.exit_code == 3);
  CHECK_THAT(other.err, Contains("--lora other.safetensors is not the one it was made with"));
  const ProgramResult again = ldm_gen_in(dir, {"replay", "a.png", "--lora", "style.safetensors"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
}

TEST_CASE("a LoRA's plan and config name it") {
  const TempDir dir;
  write_lora(dir / "style.safetensors", matching());
  const ProgramResult plan =
      ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.5", "--dry-run"}));
  CHECK_THAT(plan.out, Contains("style.safetensors, scale 0.5, 1 layers"));
  const ProgramResult config =
      ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.5", "--print-config"}));
  CHECK(nlohmann::json::parse(config.out)["lora"] == Args{"style.safetensors:0.5"});
}

TEST_CASE("a LoRA of which something matches nothing ends with 4 and names it") {
  const TempDir dir;
  Args layers = matching();
  layers.emplace_back("lora_unet_down_blocks_9_proj_in");
  write_lora(dir / "other.safetensors", layers);
  const ProgramResult refused = ldm_gen_in(dir, quick({"--lora", "other.safetensors"}));
  CHECK(refused.exit_code == 4);
  CHECK_THAT(refused.err, Contains("other.safetensors: 2 of 4 tensors match nothing") &&
                              Contains("down_blocks_9") && Contains("--lora-partial"));
  const ProgramResult partial =
      ldm_gen_in(dir, quick({"--lora", "other.safetensors", "--lora-partial", "--dry-run"}));
  CHECK(partial.exit_code == 0);
  CHECK_THAT(partial.err, Contains("2 of 4 tensors match nothing"));
  CHECK(ldm_gen_in(dir, quick({"--lora", "absent.safetensors"})).exit_code == 4);
}

}  // namespace ldm::test
