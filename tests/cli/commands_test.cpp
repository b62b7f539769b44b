#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

const std::string kDefaultModel = LDM_SOURCE_DIR "/weights/default";

TEST_CASE("help and version") {
  const ProgramResult help = ldm_gen({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.err.empty());
  CHECK(help.out.find("--negative-prompt") != std::string::npos);
  CHECK(ldm_gen({"tokens", "-h"}).out.find("ldm-gen tokens") == 0);
  const ProgramResult version = ldm_gen({"--version"});
  CHECK(version.exit_code == 0);
  CHECK(version.out.find("ldm-gen 0.1.0 (revision ") == 0);
  CHECK(version.out.find("libtorch 2.11") != std::string::npos);
}

TEST_CASE("samplers lists names, classes and sources") {
  const ProgramResult text = ldm_gen({"samplers"});
  CHECK(text.exit_code == 0);
  for (const char* name : {"ddim", "ddpm", "pndm", "euler", "euler-a", "dpmpp-2m"}) {
    CHECK(text.out.find(std::string(name) + " ") != std::string::npos);
  }
  const auto json = nlohmann::json::parse(ldm_gen({"samplers", "--json"}).out);
  CHECK(json["schema"] == 1);
  CHECK(json["samplers"].size() == lines(text.out).size());
  for (const auto& row : json["samplers"]) {
    CHECK(!row["source"].get<std::string>().empty());
    CHECK(!row["diffusers_class"].get<std::string>().empty());
  }
}

TEST_CASE("tokens shows ids without any weights") {
  const TempDir dir;
  fs::create_directory(dir / "bare");
  fs::create_directory_symlink(kDefaultModel + "/tokenizer", dir / "bare/tokenizer");
  for (const std::string model : {"bare", "bare/tokenizer"}) {
    const ProgramResult result =
        ldm_gen_in(dir, {"tokens", "--model", model, "--prompt", "a red apple", "--json"});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto json = nlohmann::json::parse(result.out);
    REQUIRE(json["ids"].size() == 77);
    CHECK(json["pieces"].size() == 77);
    CHECK(json["ids"][0] == 49406);
    CHECK(json["ids"][1] == 320);
    CHECK(json["ids"][4] == 49407);
    CHECK(json["ids"][76] == 49407);
    CHECK(json["token_count"] == 3);
    CHECK(json["cut_text"] == "");
  }
  const ProgramResult text = ldm_gen({"tokens", "-m", kDefaultModel, "-p", "a red apple"});
  CHECK(text.out.find("apple</w>") != std::string::npos);
  CHECK(text.out.find("3 tokens of 75") != std::string::npos);
}

TEST_CASE("tokens reads stdin and says what is cut") {
  ProgramSetup setup;
  for (int i = 0; i < 80; ++i) setup.input += "apple ";
  setup.input += "end\n";
  const ProgramResult result = ldm_gen({"tokens", "--json", "-p", "-"}, setup);
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json["token_count"] == 81);
  const std::string cut = json["cut_text"];
  CHECK(cut.size() > 3);
  CHECK(cut.substr(cut.size() - 3) == "end");
}

TEST_CASE("inspect tells what a model is") {
  const ProgramResult text = ldm_gen({"inspect", kDefaultModel});
  INFO(text.err);
  CHECK(text.exit_code == 0);
  CHECK(text.out.find("UNet2DConditionModel") != std::string::npos);
  const auto json = nlohmann::json::parse(ldm_gen({"inspect", kDefaultModel, "--json"}).out);
  CHECK(json["model"] == "default");
  CHECK(!json["family"].get<std::string>().empty());
  CHECK(!json["evidence"].empty());
  REQUIRE(json["components"].size() == 3);
  for (const auto& component : json["components"]) {
    CHECK(component["tensors"].get<int>() > 0);
    CHECK(component["parameters"].get<long>() > 0);
    CHECK(component["files"][0]["sha256"].get<std::string>().size() == 64);
    CHECK(component["config"].is_object());
    CHECK(!component["dtypes"].empty());
  }
  CHECK(ldm_gen({"inspect"}).out == text.out);
}

TEST_CASE("a dry run plans without touching anything") {
  const TempDir dir;
  const std::vector<std::string> args = {"-p",      "a red apple", "-s",       "1",
                                         "--steps", "4",           "--dry-run"};
  const ProgramResult text = ldm_gen_in(dir, args);
  INFO(text.err);
  CHECK(text.exit_code == 0);
  CHECK(text.out.find("timesteps") != std::string::npos);
  CHECK(text.out.find("128x128") != std::string::npos);
  std::vector<std::string> json_args = args;
  json_args.push_back("--json");
  const auto list = events(ldm_gen_in(dir, json_args).out);
  REQUIRE(list.size() == 2);
  CHECK(list[0]["event"] == "plan");
  CHECK(list[0]["timesteps"].size() == 4);
  CHECK(list[0]["sigmas"].size() == 5);
  CHECK(list[0]["request"]["guidance_scale"] == 3.0);
  CHECK(list[0]["request"]["sampler"] == "ddim");
  CHECK(list[0]["memory_bytes"].get<double>() > 0);
  CHECK(list[0]["outputs"][0] == "ldm-1.png");
  CHECK(list[1]["event"] == "done");
  CHECK(list[1]["images"] == 0);
  CHECK(files_below(dir.path()).empty());
}

TEST_CASE("print-config writes all options, the defaults of the model filled in") {
  const TempDir dir;
  const ProgramResult first = ldm_gen_in(dir, {"-p", "x", "--steps", "3", "--print-config"});
  INFO(first.err);
  REQUIRE(first.exit_code == 0);
  const auto json = nlohmann::json::parse(first.out);
  CHECK(json["steps"] == 3);
  CHECK(json["guidance_scale"] == 3.0);
  CHECK(json["sampler"] == "ddim");
  CHECK(json["seed"].is_null());
  dir.write("c.json", first.out);
  CHECK(ldm_gen_in(dir, {"--config", "c.json", "--print-config"}).out == first.out);
  const auto other = nlohmann::json::parse(
      ldm_gen_in(dir, {"--config", "c.json", "--steps", "9", "--print-config"}).out);
  CHECK(other["steps"] == 9);
  CHECK(other["prompt"] == "x");
}

}  // namespace
}  // namespace ldm::test
