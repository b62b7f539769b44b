#include "ldm/loading/model_files.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/loading/model_schedule.h"
#include "ldm/loading/open.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace fs = std::filesystem;
namespace {

fs::path tiny(const char* name) { return test::test_file(std::string("golden/runs/") + name); }

/// A copy of the tiny SD1-like model to damage.
struct Copy {
  Copy() { fs::copy(tiny("sd1"), dir.path() / "m", fs::copy_options::recursive); }
  fs::path path() const { return dir.path() / "m"; }
  void replace(const std::string& file, const std::string& from, const std::string& to) const {
    std::string text = test::slurp(path() / file);
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(path() / file, std::ios::binary) << text;
  }
  test::TempDir dir;
};

ExecutionRequest on_cpu() {
  ExecutionRequest request;
  request.device = "cpu";
  return request;
}

/// The message of the model error (4) that opening gives.
std::string refusal(const fs::path& path) {
  try {
    open_components(open_model(path), on_cpu());
  } catch (const Error& error) {
    CHECK(error.exit_code() == 4);
    return error.message();
  }
  FAIL("opened");
  return {};
}

}  // namespace

TEST_CASE("published layouts open: prefixed CLIP keys, fp16 variant, sparse scheduler config") {
  const auto sd1 = open_components(open_model(tiny("sd1")), on_cpu());
  CHECK(std::string(default_sampler(sd1->files).name) == "pndm");
  CHECK(sd1->tokenizer->pad_id() == sd1->tokenizer->eos_id());
  const auto sd2 = open_components(open_model(tiny("sd2")), on_cpu());
  CHECK(std::string(default_sampler(sd2->files).name) == "ddim");
  CHECK(sd2->tokenizer->pad_id() == 0);
  CHECK(scheduler_config(sd2->files, find_sampler("ddim")).prediction_type == "v_prediction");
}

TEST_CASE("a field the scheduler file leaves out takes the chosen sampler's default") {
  const auto sd1 = open_components(open_model(tiny("sd1")), on_cpu());
  CHECK(scheduler_config(sd1->files, find_sampler("pndm")).timestep_spacing == "leading");
  CHECK(scheduler_config(sd1->files, find_sampler("euler")).timestep_spacing == "linspace");
  CHECK(scheduler_config(sd1->files, find_sampler("euler")).beta_schedule == "scaled_linear");
}

TEST_CASE("the project's own model opens and its defaults are read") {
  const ModelFiles folder = open_model(default_model());
  CHECK(folder.defaults.num_inference_steps == 30);
  CHECK(folder.defaults.sampler == "ddim");
  CHECK(!folder.family.name.empty());
  CHECK(!folder.family.evidence.empty());
}

TEST_CASE("what is wrong with a model folder is a model error that says what") {
  CHECK_THAT(refusal("/no/such/folder"), Contains("no model at"));
  const test::TempDir empty;
  CHECK_THAT(refusal(empty.path()), Contains("no model_index.json"));
  const fs::path file = empty.write("x.safetensors", "12345678");
  CHECK_THAT(refusal(file), Contains("x.safetensors: E_ST_HDR_BIG"));
}

TEST_CASE("damaged JSON, wrong types and unknown classes are refused with their place") {
  SECTION("JSON cut short") {
    const Copy copy;
    copy.replace("unet/config.json", "}", "");
    CHECK_THAT(refusal(copy.path()), Contains("unet/config.json") && Contains("byte"));
  }
  SECTION("a wrong type") {
    const Copy copy;
    copy.replace("unet/config.json", "\"in_channels\": 4", "\"in_channels\": \"four\"");
    CHECK_THAT(refusal(copy.path()), Contains("/in_channels") && Contains("expected integer"));
  }
  SECTION("another class") {
    const Copy copy;
    copy.replace("model_index.json", "UNet2DConditionModel", "UNet3DModel");
    CHECK_THAT(refusal(copy.path()), Contains("UNet3DModel"));
  }
  SECTION("a huge number") {
    const Copy copy;
    copy.replace("vae/config.json", "\"scaling_factor\": 0.18215", "\"scaling_factor\": 1e999");
    CHECK_THAT(refusal(copy.path()), Contains("vae/config.json"));
  }
}

TEST_CASE("weights that do not fit their config are listed for all components together") {
  const Copy copy;
  copy.replace("unet/config.json", "\"in_channels\": 4", "\"in_channels\": 9");
  copy.replace("text_encoder/config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
  const std::string message = refusal(copy.path());
  CHECK_THAT(message, Contains("conv_in.weight expected [16, 9, 3, 3] found [16, 4, 3, 3]"));
  CHECK_THAT(message, Contains("text_encoder: 16 unexpected"));
}

TEST_CASE("components that do not belong together are refused") {
  const Copy copy;
  fs::remove_all(copy.path() / "vae");
  fs::copy(default_model() / "vae", copy.path() / "vae", fs::copy_options::recursive);
  copy.replace("vae/config.json", "\"latent_channels\": 16", "\"latent_channels\": 3");
  CHECK_THAT(refusal(copy.path()), Contains("vae: "));
}

TEST_CASE("a truncated weight file is named with its byte counts") {
  const Copy copy;
  fs::resize_file(copy.path() / "vae" / "diffusion_pytorch_model.safetensors", 20000);
  CHECK_THAT(refusal(copy.path()), Contains("E_ST_TRUNC"));
}

TEST_CASE("org/name is looked up in the local Hugging Face cache only") {
  const test::TempDir home;
  const fs::path repository = home / "hub/models--org--name";
  fs::create_directories(repository / "snapshots" / "abc123");
  home.write("hub/models--org--name/refs/main", "abc123\n");
  setenv("HF_HOME", home.path().c_str(), 1);
  unsetenv("HF_HUB_CACHE");
  CHECK(find_model("org/name") == repository / "snapshots" / "abc123");
  CHECK_THROWS_AS(find_model("org/other"), Error);
  home.write("hub/models--org--name/refs/main", "../../../../etc\n");
  CHECK_THROWS_AS(find_model("org/name"), Error);
  CHECK(find_model("/absolute/path") == "/absolute/path");
  unsetenv("HF_HOME");
}

}  // namespace ldm
