#include "ldm/models/clip_text_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::CLIPTextConfig;
using ldm::models::CLIPTextModel;

CLIPTextConfig tiny(const std::string& activation) {
  CLIPTextConfig config;
  config.vocab_size = 99;
  config.num_hidden_layers = 3;
  config.hidden_act = activation;
  const bool quick = activation == "quick_gelu";
  config.hidden_size = quick ? 32 : 64;
  config.intermediate_size = quick ? 64 : 96;
  config.num_attention_heads = quick ? 2 : 4;
  config.layer_norm_eps = quick ? 1e-5 : 1e-3;
  return config;
}

// "name sizes" lines in order, as scripts/goldens/clip.py writes them, and the parameter count.
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

ldm::ErrorCode code_of(const CLIPTextModel& model, const at::Tensor& ids, std::int64_t skip) {
  try {
    model->forward(ids, skip);
  } catch (const ldm::Error& error) {
    return error.code();
  }
  FAIL("no error");
  return ldm::ErrorCode::kInternal;
}

}  // namespace

TEST_CASE("CLIPTextModel equals transformers at every layer", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("clip");
  const std::string name = GENERATE("quick_gelu", "gelu");
  CLIPTextModel model(tiny(name));
  golden.load_into(*model, name + ".weights");
  const at::Tensor ids = golden.at(name + ".ids");

  for (std::int64_t layers = 0; layers <= 3; ++layers) {
    const std::string key = name + ".hidden." + std::to_string(layers);
    ldm::test::expect_close(model->hidden_state(ids, layers), golden.at(key), 1e-5, key);
  }
  ldm::test::expect_close(model->forward(ids), golden.at(name + ".last"), 1e-5, "last");
  for (std::int64_t skip = 1; skip <= 2; ++skip) {
    const std::string key = name + ".skip." + std::to_string(skip);
    ldm::test::expect_close(model->forward(ids, skip), golden.at(key), 1e-5, key);
  }
}

TEST_CASE("CLIPTextModel in bf16 stays near the fp32 reference", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("clip");
  const std::string name = "gelu";
  CLIPTextModel model(tiny(name));
  golden.load_into(*model, name + ".weights");
  for (auto& parameter : model->parameters()) parameter.set_data(parameter.to(at::kBFloat16));

  const at::Tensor last = model->forward(golden.at(name + ".ids"));
  CHECK(last.scalar_type() == at::kBFloat16);
  ldm::test::expect_close(last.to(at::kFloat), golden.at(name + ".last"), 4e-2, name);
}

TEST_CASE("CLIPTextModel reads causally: later ids change nothing before them", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("clip");
  CLIPTextModel model(tiny("gelu"));
  golden.load_into(*model, "gelu.weights");
  at::Tensor ids = golden.at("gelu.ids").clone();
  const at::Tensor before = model->forward(ids);
  ids[0][3] = 7;
  const at::Tensor after = model->forward(ids);
  ldm::test::expect_close(after.narrow(1, 0, 3), before.narrow(1, 0, 3), 1e-6, "first three");
  CHECK((after.select(1, 3) - before.select(1, 3)).abs().max().item<double>() > 1e-2);
}

TEST_CASE("CLIPTextModel has the keys and shapes of the published encoders", "[golden]") {
  const ldm::test::Golden golden("clip");
  CLIPTextConfig config;
  std::string name;
  SECTION("ViT-L/14, Stable Diffusion 1") {
    name = "vit_l";
    config.hidden_size = 768;
    config.intermediate_size = 3072;
    config.num_attention_heads = 12;
  }
  SECTION("ViT-H/14 without its last layer, Stable Diffusion 2") {
    name = "vit_h";
    config.hidden_size = 1024;
    config.intermediate_size = 4096;
    config.num_attention_heads = 16;
    config.num_hidden_layers = 23;
    config.hidden_act = "gelu";
  }
  CLIPTextModel model(config);
  std::int64_t count = 0;
  CHECK(listing(*model, count) == golden.metadata.at(name + "_keys"));
  CHECK(std::to_string(count) == golden.metadata.at(name + "_parameters"));
}

TEST_CASE("CLIPTextModel refuses ids, lengths and clip_skip that do not fit", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("clip");
  CLIPTextModel model(tiny("quick_gelu"));
  golden.load_into(*model, "quick_gelu.weights");
  const at::Tensor ids = at::zeros({1, 77}, at::kLong);
  CHECK(model->forward(ids, 3).sizes() == at::IntArrayRef({1, 77, 32}));
  CHECK(code_of(model, ids, 4) == ldm::ErrorCode::kUsage);
  CHECK(code_of(model, ids, -1) == ldm::ErrorCode::kUsage);
  CHECK(code_of(model, at::full({1, 4}, 99, at::kLong), 0) == ldm::ErrorCode::kModel);
  CHECK(code_of(model, at::full({1, 4}, -1, at::kLong), 0) == ldm::ErrorCode::kModel);
  CHECK(code_of(model, at::zeros({1, 78}, at::kLong), 0) == ldm::ErrorCode::kModel);
  CHECK(code_of(model, at::zeros({77}, at::kLong), 0) == ldm::ErrorCode::kModel);
}

TEST_CASE("CLIPTextConfig refuses what no encoder can have") {
  const auto refused = [](auto change) {
    CLIPTextConfig config;
    change(config);
    CHECK_THROWS_AS(config.validate(), ldm::Error);
    CHECK_THROWS_AS(CLIPTextModel(config), ldm::Error);
  };
  CHECK_NOTHROW(CLIPTextConfig{}.validate());
  refused([](CLIPTextConfig& c) { c.num_attention_heads = 7; });
  refused([](CLIPTextConfig& c) { c.num_attention_heads = 0; });
  refused([](CLIPTextConfig& c) { c.hidden_size = -512; });
  refused([](CLIPTextConfig& c) { c.num_hidden_layers = 0; });
  refused([](CLIPTextConfig& c) { c.num_hidden_layers = 1 << 30; });
  refused([](CLIPTextConfig& c) { c.layer_norm_eps = 0.0; });
  refused([](CLIPTextConfig& c) { c.vocab_size = 0; });
  refused([](CLIPTextConfig& c) { c.hidden_act = "gelu_new"; });
}

TEST_CASE("CLIPTextConfig lists each field once") {
  CLIPTextConfig config;
  std::vector<std::string> names;
  config.visit([&names](const char* name, const auto&) { names.emplace_back(name); });
  CHECK(names.size() == 12);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}
