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

constexpr const char* kBlock = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_";

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
    add(layer + ".lora_up.weight", {192, 1});
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
  CHECK_THAT(plan.out, Contains("style.safetensors, scale 0.5, 1 layers, 2 of 2 tensors matched"));
  const ProgramResult config =
      ldm_gen_in(dir, quick({"--lora", "style.safetensors:0.5", "--print-config"}));
  CHECK(nlohmann::json::parse(config.out)["lora"] == Args{"style.safetensors:0.5"});
}

TEST_CASE("LoRAs named by prompts are merged for their jobs alone, recorded and made again") {
  const TempDir dir;
  fs::create_directory(dir / "loras");
  write_lora(dir / "loras/style.safetensors", matching());
  const Args weighted = {"--prompt-syntax", "weighted", "--lora-dir", "loras"};
  const auto run = [&](Args args) {
    args.insert(args.end(), weighted.begin(), weighted.end());
    args.insert(args.end(), {"--steps", "2", "--threads", "1", "-s", "3"});
    const ProgramResult result = ldm_gen_in(dir, args);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result;
  };
  run({"-p", "a red apple <lora:style:0.5>", "-o", "tag.png"});
  run({"-p", "a red apple", "--lora", "loras/style.safetensors:0.5", "-o", "given.png"});
  run({"-p", "a red apple", "-o", "plain.png"});
  CHECK(load_image(dir / "tag.png").rgb == load_image(dir / "given.png").rgb);
  CHECK(load_image(dir / "tag.png").rgb != load_image(dir / "plain.png").rgb);
  const nlohmann::json lora = settings_of(dir / "tag.png")["lora"];
  REQUIRE(lora.size() == 1);
  CHECK(lora[0]["from_prompt"] == true);
  CHECK(ldm_gen_in(dir, {"replay", "tag.png"}).exit_code == 3);
  const ProgramResult again = ldm_gen_in(dir, {"replay", "tag.png", "--lora-dir", "loras"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  dir.write("jobs.jsonl",
            "{\"prompt\": \"a red apple\"}\n"
            "{\"prompt\": \"a red apple <lora:style:0.5>\", \"seed\": 3}\n"
            "{\"prompt\": \"a red apple\", \"seed\": 3}\n");
  run({"--jobs", "jobs.jsonl", "--output-dir", "out"});
  CHECK(load_image(dir / "out/000001-3.png").rgb == load_image(dir / "tag.png").rgb);
  CHECK(load_image(dir / "out/000002-3.png").rgb == load_image(dir / "plain.png").rgb);
  const ProgramResult hostile =
      ldm_gen_in(dir, {"-p", "a <lora:../loras/style:1>", "--prompt-syntax", "weighted",
                       "--lora-dir", "loras", "--dry-run"});
  CHECK(hostile.exit_code == 3);
  CHECK_THAT(hostile.err, Contains("a LoRA's name is no path"));
}

TEST_CASE("an embedding's word changes the picture, is recorded and made again") {
  const TempDir dir;
  std::vector<float> values(2 * 128, 0.5F);
  const std::vector<TensorData> tensors = {
      {"emb_params", DType::F32, {2, 128}, std::as_bytes(std::span(values))}};
  write_safetensors(dir / "ink.safetensors", tensors, {}, IfExists::kReplace);
  const auto run = [&](const std::string& prompt, const std::string& output) {
    const ProgramResult result =
        ldm_gen_in(dir, {"-p", prompt, "--embedding", "ink.safetensors:<ink>", "--steps", "2",
                         "--threads", "1", "-s", "3", "-o", output});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  };
  run("a red apple, <ink>", "word.png");
  run("a red apple,", "none.png");
  CHECK(load_image(dir / "word.png").rgb != load_image(dir / "none.png").rgb);
  const nlohmann::json recorded = settings_of(dir / "word.png")["embedding"];
  REQUIRE(recorded.size() == 1);
  CHECK(recorded[0]["word"] == "<ink>");
  CHECK(recorded[0]["sha256"] == sha256_file(dir / "ink.safetensors"));
  CHECK_THAT(text_of(dir / "word.png").at(0).value, Contains("TI hashes: \"<ink>: "));
  CHECK(ldm_gen_in(dir, {"replay", "word.png"}).exit_code == 2);
  const ProgramResult again =
      ldm_gen_in(dir, {"replay", "word.png", "--embedding", "ink.safetensors"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  const ProgramResult tokens =
      ldm_gen_in(dir, {"tokens", "-p", "a <ink>", "--embedding", "ink.safetensors:<ink>"});
  CHECK_THAT(tokens.out, Contains("<ink>[2/2]"));
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
