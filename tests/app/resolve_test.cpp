#include "ldm/app/resolve.h"

#include <functional>

#include "ldm/app/inputs.h"
#include "ldm/app/output_paths.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return static_cast<ErrorCode>(0);
}

TEST_CASE("a LoRA is a file, or a file and its scale") {
  const test::TempDir dir;
  dir.write("odd:2", "");
  Options options;
  options.lora = {"a.safetensors", "b:c.safetensors:-0.25", "b:c", (dir / "odd:2").string()};
  const LoraRequest request = make_lora_request(options);
  REQUIRE(request.files.size() == 4);
  CHECK(!request.partial);
  CHECK(request.files[0].scale == 1.0);
  CHECK(request.files[1].file == "b:c.safetensors");
  CHECK(request.files[1].scale == -0.25);
  CHECK(request.files[2].file == "b:c");
  CHECK(request.files[3].file == dir / "odd:2");
}

TEST_CASE("an embedding is a file, or a file and its word") {
  const test::TempDir dir;
  const std::string file = dir.write("a:b.pt", "").string();
  Options options;
  options.embedding = {file, file + ":<cat:toy>", "absent.pt:x"};
  const std::vector<EmbeddingChoice> choices = make_embedding_choices(options);
  REQUIRE(choices.size() == 3);
  CHECK(choices[0].word.empty());
  CHECK(choices[1].file == file);
  CHECK(choices[1].word == "<cat:toy>");
  CHECK(choices[2].file == "absent.pt:x");
}

TEST_CASE("a weighted prompt's LoRAs are files of --lora-dir and nothing else") {
  const test::TempDir dir;
  dir.write("ink.safetensors", "");
  dir.write("pen.pt", "");
  Options options;
  options.prompt_syntax = "weighted";
  options.lora_dir = dir.path().string();
  const LoraRequest request = make_lora_request(options, "a <lora:ink:0.5> cat <lora:pen>");
  REQUIRE(request.files.size() == 2);
  CHECK(request.files[0] == LoraChoice{dir / "ink.safetensors", 0.5, true});
  CHECK(request.files[1].scale == 1.0);
  const auto fault = [&](const std::string& prompt) {
    try {
      make_lora_request(options, prompt);
    } catch (const Error& error) {
      CHECK(error.exit_code() == 3);
      return error.message() + " " + error.hint();
    }
    return std::string("no error");
  };
  for (const char* name : {"../ink", "/etc/x", "a\\b", ".ink", ".."}) {
    CHECK_THAT(fault(cat("a <lora:", name, ":1>")), Contains("a LoRA's name is no path"));
  }
  CHECK_THAT(fault("a <lora:inc:1>"), Contains("there is no LoRA \"inc\"") && Contains("ink?"));
  options.lora_dir.reset();
  CHECK_THAT(fault("a <lora:ink:1>"), Contains("--lora-dir"));
  options.prompt_syntax.reset();
  CHECK(make_lora_request(options, "a <lora:ink:1>").files.empty());
}

TEST_CASE("defaults: command line, then the model's, then the program's") {
  GenerationDefaults model;
  model.num_inference_steps = 12;
  model.guidance_scale = 3.0;
  model.sampler = "ddim";
  model.width = 64;
  model.height = 96;
  Options options;
  options.guidance_scale = 5.0;
  fill_defaults(options, model);
  CHECK(options.steps == 12);
  CHECK(options.guidance_scale == 5.0);
  CHECK(options.guidance_rescale == 0.0);
  CHECK(options.sampler == "ddim");
  CHECK(options.width == 64);
  CHECK(options.height == 96);
  Options bare;
  fill_defaults(bare, {});
  CHECK(bare.steps == 30);
  CHECK(bare.guidance_scale == 7.5);
  CHECK(!bare.width);
  CHECK(!bare.sampler);
}

TEST_CASE("another program's prompts are read as it reads them, unless said otherwise") {
  const auto resolved = [](const char* compat, bool weighted) {
    Options options;
    options.compat = compat;
    if (weighted) options.prompt_syntax = "weighted";
    fill_defaults(options, {});
    return options;
  };
  CHECK(*resolved("comfyui", true).prompt_weighting == "comfyui");
  CHECK(*resolved("comfyui", false).prompt_weighting == "mean-restoring");
  CHECK(*resolved("a1111", true).prompt_weighting == "mean-restoring");
  CHECK(*resolved("a1111", false).long_prompt == "chunk");
  CHECK(*resolved("comfyui", false).long_prompt == "chunk");
  CHECK(*resolved("compvis", true).long_prompt == "truncate");
  Options said;
  said.compat = "comfyui";
  said.prompt_syntax = "weighted";
  said.prompt_weighting = "plain";
  said.long_prompt = "error";
  fill_defaults(said, {});
  CHECK(*said.prompt_weighting == "plain");
  CHECK(*said.long_prompt == "error");
}

TEST_CASE("an init image decides the size and turns off the model's rescale") {
  GenerationDefaults model;
  model.width = 64;
  model.height = 64;
  model.guidance_rescale = 0.7;
  Options options;
  options.init_image = "a.png";
  fill_defaults(options, model);
  CHECK(!options.width);
  CHECK(options.guidance_rescale == 0.0);
}

TEST_CASE("a model's own illegal defaults are the model's fault") {
  GenerationDefaults steps;
  steps.num_inference_steps = 0;
  GenerationDefaults sampler;
  sampler.sampler = "nonsense";
  GenerationDefaults width;
  width.width = 65;
  for (const GenerationDefaults& model : {steps, sampler, width}) {
    Options options;
    CHECK(code_of([&] { fill_defaults(options, model); }) == ErrorCode::kModel);
  }
}

TEST_CASE("requests carry the options") {
  Options options;
  options.seed = 9;
  options.init_latents = "l";
  fill_defaults(options, {});
  Inputs inputs;
  inputs.prompt = "p";
  inputs.init_latents = std::make_shared<LatentsData>();
  CHECK(!make_request(options, inputs).use_strength);
  options.strength = 0.5;
  options.strength_mode = "exact";
  options.vae_tiling = "on";
  const Request request = make_request(options, inputs);
  CHECK(request.use_strength);
  CHECK(request.strength == 0.5);
  CHECK(request.strength_mode == StrengthMode::kExact);
  CHECK(request.vae_tiling == VaeTiling::kOn);
  CHECK(request.seed == 9);
  CHECK(request.prompt == "p");
  CHECK(request.num_inference_steps == 30);
}

TEST_CASE("prompts must be UTF-8 without NUL, at most 64 KiB") {
  CHECK_NOTHROW(check_prompt("", "prompt"));
  CHECK_NOTHROW(check_prompt(std::string(65536, 'a'), "prompt"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abcde\xff", "prompt: byte 5: invalid UTF-8"},
      {std::string("a\0b", 3), "prompt: byte 1: NUL"},
      {std::string(65537, 'a'), "prompt: longer than 65536 bytes"}};
  for (const auto& [text, message] : cases) {
    try {
      check_prompt(text, "prompt");
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInput);
      CHECK(error.message() == message);
    }
  }
}

TEST_CASE("output names") {
  const test::TempDir dir;
  const std::string folder = dir.path().string();
  const auto names = [](const std::optional<std::string>& output, std::int64_t count,
                        bool overwrite = false) {
    std::vector<std::string> out;
    for (const fs::path& path : resolve_output_paths({output, 42, count, overwrite})) {
      out.push_back(path.string());
    }
    return out;
  };
  using Names = std::vector<std::string>;
  CHECK(names("a.png", 1) == Names{"a.png"});
  CHECK(names("x/a.b.png", 2) == Names{"x/a.b-0001.png", "x/a.b-0002.png"});
  CHECK(names("a.PNG", 2) == Names{"a-0001.PNG", "a-0002.PNG"});
  CHECK(names("apple", 1) == Names{"apple"});
  CHECK(names("out/", 1) == Names{"out/ldm-42.png"});
  CHECK(names(folder, 1) == Names{folder + "/ldm-42.png"});
  CHECK(names("a.png", 10000).back() == "a-10000.png");
  CHECK(names("a.png", 10000).front() == "a-00001.png");
  dir.write("ldm-42.png", "x");
  CHECK(names(folder, 1) == Names{folder + "/ldm-42-2.png"});
  CHECK(names(folder, 1, true) == Names{folder + "/ldm-42.png"});
  dir.write("ldm-42-2.png", "x");
  CHECK(names(folder, 1) == Names{folder + "/ldm-42-3.png"});
  CHECK(code_of([&] { names("a.jpg", 1); }) == ErrorCode::kUsage);
  CHECK(code_of([&] { names("", 1); }) == ErrorCode::kUsage);
}

TEST_CASE("output folders are tried before work starts") {
  const test::TempDir dir;
  const fs::path file = dir.write("file", "x");
  CHECK_NOTHROW(check_output_folders({dir / "a.png"}));
  CHECK(code_of([&] { check_output_folders({dir / "none/a.png"}); }) == ErrorCode::kOutput);
  CHECK(code_of([&] { check_output_folders({file / "a.png"}); }) == ErrorCode::kOutput);
  CHECK(code_of([&] { check_output_folders({dir.path()}); }) == ErrorCode::kOutput);
}

TEST_CASE("existing files are refused unless they hold the same result") {
  const test::TempDir dir;
  const fs::path there = dir.write("a.png", "x");
  const auto same = [](bool answer) { return [answer](std::size_t) { return answer; }; };
  CHECK(!check_existing({dir / "b.png"}, same(false)));
  CHECK(check_existing({there}, same(true)));
  CHECK(code_of([&] { check_existing({there}, same(false)); }) == ErrorCode::kOutput);
}

}  // namespace
}  // namespace ldm::app
