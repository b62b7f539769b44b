#include "ldm/loading/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/io/safetensors.h"
#include "ldm/io/weights_index.h"
#include "ldm/loading/load_module.h"
#include "ldm/models/clip_text_model.h"
#include "ldm/models/unet_2d_condition.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;
using Updates = std::map<std::string, WeightUpdates>;

constexpr const char* kQuery = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight";
constexpr const char* kOut =
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0.weight";
constexpr const char* kConv = "down_blocks.0.resnets.0.conv1.weight";
constexpr const char* kProjIn = "down_blocks.0.attentions.0.proj_in.weight";
constexpr const char* kText = "text_model.encoder.layers.0.self_attn.q_proj.weight";

/// A UNet 8 wide and a text encoder 8 wide.
struct Model {
  Model() {
    models::UNet2DConditionConfig config;
    config.block_out_channels = {8, 16};
    config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
    config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
    config.layers_per_block = IntOrList{1};
    config.attention_head_dim = IntOrList{2};
    config.cross_attention_dim = IntOrList{8};
    config.norm_num_groups = 4;
    unet = std::make_shared<models::UNet2DConditionModelImpl>(config);
    models::CLIPTextConfig clip;
    clip.hidden_size = 8;
    clip.intermediate_size = 16;
    clip.num_hidden_layers = 1;
    clip.num_attention_heads = 2;
    text = std::make_shared<models::CLIPTextModelImpl>(clip);
  }
  LoraModules modules() const { return {{"unet", unet.get()}, {"text_encoder", text.get()}}; }

  std::shared_ptr<models::UNet2DConditionModelImpl> unet;
  std::shared_ptr<models::CLIPTextModelImpl> text;
};

void write(const std::filesystem::path& path, const Tensors& tensors, const Metadata& metadata) {
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : tensors) {
    data.push_back({name,
                    tensor.scalar_type() == at::kHalf ? DType::F16 : DType::F32,
                    tensor.sizes().vec(),
                    {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  write_safetensors(path, data, metadata, IfExists::kReplace);
}

/// What a file of these tensors changes in the model.
Updates updates_of(const Tensors& tensors, double scale = 1.0, const Metadata& metadata = {},
                   bool partial = false) {
  const test::TempDir dir;
  write(dir / "some.safetensors", tensors, metadata);
  const Model model;
  LoraMatcher matcher(model.modules());
  const LoraRequest request{{{dir / "some.safetensors", scale}}, partial};
  matcher.match(request);
  return matcher.updates(request);
}

/// The one change of a weight.
at::Tensor change(const Updates& updates, const std::string& component, const std::string& key,
                  at::IntArrayRef shape) {
  const std::vector<WeightUpdate>& list = updates.at(component).at(key);
  REQUIRE(list.size() == 1);
  return weight_change(list.front(), shape) * list.front().strength;
}

Error refused(const Tensors& tensors, bool partial = false) {
  try {
    updates_of(tensors, 1.0, {}, partial);
  } catch (const Error& error) {
    return error;
  }
  return Error::internal("nothing was thrown");
}

at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
  return test::seeded_randn(shape, seed);
}

/// Up and down factors under the names of one format.
Tensors pair(const std::string& up, const std::string& down) {
  return {{up, random({8, 2}, 1)}, {down, random({2, 8}, 2)}};
}

}  // namespace

TEST_CASE(
    "each format's names find their layer, and W changes by scale · alpha / rank · up · down") {
  struct Format {
    std::string base, up, down;
    const char *component, *key;
  };
  const std::string unet = "down_blocks.0.attentions.0.transformer_blocks.0.";
  const std::string text = "text_model.encoder.layers.0.self_attn.";
  const std::string kohya = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_";
  const std::string original = "input_blocks_1_1_transformer_blocks_0_";
  const std::vector<Format> formats = {
      {"unet." + unet + "attn1.to_q", ".lora_B.weight", ".lora_A.weight", "unet", kQuery},
      {"unet." + unet + "attn2.to_out.0", ".lora_B.weight", ".lora_A.weight", "unet", kOut},
      {"text_encoder." + text + "q_proj", ".lora_B.weight", ".lora_A.weight", "text_encoder",
       kText},
      {"text_encoder.encoder.layers.0.self_attn.q_proj", ".lora_B.weight", ".lora_A.weight",
       "text_encoder", kText},
      {"unet." + unet + "attn1.to_q", ".lora.up.weight", ".lora.down.weight", "unet", kQuery},
      {unet + "attn1.processor.to_q", "_lora.up.weight", "_lora.down.weight", "unet", kQuery},
      {"unet." + unet + "attn2.processor.to_out", "_lora.up.weight", "_lora.down.weight", "unet",
       kOut},
      {"text_encoder." + text + "q_proj", ".lora_linear_layer.up.weight",
       ".lora_linear_layer.down.weight", "text_encoder", kText},
      {"text_encoder." + text + "to_q", "_lora.up.weight", "_lora.down.weight", "text_encoder",
       kText},
      {kohya + "attn1_to_q", ".lora_up.weight", ".lora_down.weight", "unet", kQuery},
      {kohya + "attn2_to_out_0", ".lora_up.weight", ".lora_down.weight", "unet", kOut},
      {"lora_te_text_model_encoder_layers_0_self_attn_q_proj", ".lora_up.weight",
       ".lora_down.weight", "text_encoder", kText},
      {"lora_unet_" + original + "attn1_to_q", ".lora_up.weight", ".lora_down.weight", "unet",
       kQuery},
      {"unet.input_blocks.1.1.transformer_blocks.0.attn1.to_q", ".lora_B.weight", ".lora_A.weight",
       "unet", kQuery},
  };
  for (const Format& format : formats) {
    INFO(format.base << format.up);
    Tensors tensors = pair(format.base + format.up, format.base + format.down);
    const at::Tensor product = random({8, 2}, 1).matmul(random({2, 8}, 2));
    test::expect_close(change(updates_of(tensors), format.component, format.key, {8, 8}), product,
                       1e-6);
    tensors[format.base + ".alpha"] = at::full({}, 3.0);
    test::expect_close(change(updates_of(tensors, 0.5), format.component, format.key, {8, 8}),
                       product * (0.5 * 3.0 / 2.0), 1e-6);
  }
}

TEST_CASE("peft's alpha is read from the metadata, with patterns and rank-stabilised scaling") {
  const Tensors tensors =
      pair("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight",
           "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight");
  const at::Tensor product = random({8, 2}, 1).matmul(random({2, 8}, 2));
  const auto with = [&](const std::string& settings) {
    return change(updates_of(tensors, 1.0, {{"lora_adapter_metadata", settings}}), "unet", kQuery,
                  {8, 8});
  };
  test::expect_close(with(R"({"unet.r": 2, "unet.lora_alpha": 8})"), product * 4, 1e-6);
  test::expect_close(with(R"({"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_q": 1}})"),
                     product * 0.5, 1e-6);
  test::expect_close(with(R"({"unet.lora_alpha": 8, "unet.use_rslora": true})"),
                     product * (8 / std::sqrt(2.0)), 1e-6);
  test::expect_close(with(R"({"text_encoder.lora_alpha": 8})"), product, 1e-6);
}

TEST_CASE("convolutions of every form are merged") {
  const std::string base = "lora_unet_down_blocks_0_resnets_0_conv1";
  const at::Tensor up = random({8, 2, 1, 1}, 1), down = random({2, 8, 3, 3}, 2);
  const Updates plain =
      updates_of({{base + ".lora_up.weight", up}, {base + ".lora_down.weight", down}});
  test::expect_close(change(plain, "unet", kConv, {8, 8, 3, 3}),
                     at::einsum("or,rikl->oikl", {up.flatten(1), down}), 1e-6);
  const at::Tensor mid = random({2, 2, 3, 3}, 3), small = random({2, 8, 1, 1}, 4);
  const Updates tucker = updates_of({{base + ".lora_up.weight", up},
                                     {base + ".lora_mid.weight", mid},
                                     {base + ".lora_down.weight", small}});
  test::expect_close(change(tucker, "unet", kConv, {8, 8, 3, 3}),
                     at::einsum("op,pqkl,qi->oikl", {up.flatten(1), mid, small.flatten(1)}), 1e-6);
  const std::string proj = "lora_unet_down_blocks_0_attentions_0_proj_in";
  const Updates linear = updates_of(pair(proj + ".lora_up.weight", proj + ".lora_down.weight"));
  test::expect_close(change(linear, "unet", kProjIn, {8, 8, 1, 1}),
                     random({8, 2}, 1).matmul(random({2, 8}, 2)).view({8, 8, 1, 1}), 1e-6);
}

TEST_CASE("weights are W + the changes of all files, in fp32 before they are rounded") {
  const test::TempDir dir;
  const Model model;
  Tensors base;
  std::uint64_t seed = 10;
  for (const auto& item : model.unet->named_parameters()) {
    base[item.key()] = random(item.value().sizes(), seed++).to(at::kHalf);
  }
  write(dir / "unet.safetensors", base, {});
  const WeightFiles files = WeightFiles::open(dir.path(), "unet");
  const std::string name = std::string("unet.") + kQuery;
  const std::string layer = name.substr(0, name.size() - 7);
  write(dir / "a.safetensors", pair(layer + ".lora_B.weight", layer + ".lora_A.weight"), {});
  LoraMatcher matcher(model.modules());
  const LoraRequest request{{{dir / "a.safetensors", 0.25}, {dir / "a.safetensors", -2.0}}, false};
  const std::vector<LoraUse> uses = matcher.match(request);
  REQUIRE(uses.size() == 2);
  CHECK(uses[1].name == "a.safetensors");
  CHECK(uses[1].sha256 == sha256_file(dir / "a.safetensors"));
  CHECK(uses[1].scale == -2.0);
  CHECK(uses[1].layers == 1);
  Execution execution;
  execution.dtype = at::kBFloat16;
  execution.threads = 2;
  load_weights(files, bind_weights(*model.unet, files, key_map("unet")), execution,
               matcher.updates(request).at("unet"));
  for (const auto& item : model.unet->named_parameters()) {
    at::Tensor expected = base.at(item.key()).to(at::kFloat);
    if (item.key() == kQuery) {
      const at::Tensor product = random({8, 2}, 1).matmul(random({2, 8}, 2));
      expected = expected + product * 0.25 + product * -2.0;
    }
    INFO(item.key());
    CHECK(at::equal(item.value(), expected.to(at::kBFloat16)));
  }
}

TEST_CASE("a scale of 0 changes no weight, and names are checked all the same") {
  const std::string layer = "lora_unet_mid_block_attentions_0_proj_out";
  Tensors tensors = {{layer + ".lora_up.weight", random({16, 2, 1, 1}, 1)},
                     {layer + ".lora_down.weight", random({2, 16, 1, 1}, 2)}};
  CHECK(updates_of(tensors, 0.0)["unet"].empty());
  tensors["lora_unet_nowhere.lora_up.weight"] = random({8, 2}, 1);
  CHECK_THROWS_AS(updates_of(tensors, 0.0), Error);
}

TEST_CASE(
    "what matches nothing is a model error with counts, or a warning when that was asked for") {
  const std::string known = "lora_unet_down_blocks_0_attentions_0_proj_in";
  Tensors tensors = pair(known + ".lora_up.weight", known + ".lora_down.weight");
  tensors["lora_unet_down_blocks_7_attentions_0_proj_in.alpha"] = at::full({}, 1.0);
  tensors["lora_unet_something.oft_blocks"] = random({8, 2}, 3);
  const Error error = refused(tensors);
  CHECK(error.exit_code() == 4);
  CHECK_THAT(error.message(), Contains("2 of 4 tensors match nothing") && Contains("oft_blocks") &&
                                  Contains("down_blocks_7"));
  CHECK_THAT(error.hint(), Contains("OFT is not read"));
  std::vector<std::string> warnings;
  set_log_sink([&warnings](const LogEvent& event) { warnings.push_back(event.message); });
  CHECK(updates_of(tensors, 1.0, {}, true)["unet"].size() == 1);
  set_log_sink({});
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings.front(), Contains("2 of 4 tensors match nothing"));
}

TEST_CASE("a file of which nothing fits, halves and wrong shapes are refused even so") {
  CHECK_THAT(refused({{"lora_te2_a.alpha", at::full({}, 1.0)}}, true).hint(), Contains("XL"));
  const std::string known = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  CHECK_THAT(refused({{known + ".lora_B.weight", random({8, 2}, 1)}}, true).message(),
             Contains("without their other half"));
  Tensors wide = pair(known + ".lora_B.weight", known + ".lora_A.weight");
  wide[known + ".lora_A.weight"] = random({2, 12}, 1);
  const Error error = refused(wide, true);
  CHECK(error.exit_code() == 4);
  CHECK_THAT(error.message(), Contains("[8, 2] · [2, 12] for a weight [8, 8]"));
}

TEST_CASE("a damaged LoRA is a model error") {
  const std::string known = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  Tensors tensors = pair(known + ".lora_B.weight", known + ".lora_A.weight");
  tensors[known + ".lora_B.weight"].view({-1})[3] = std::numeric_limits<float>::quiet_NaN();
  const test::TempDir dir;
  write(dir / "nan.safetensors", tensors, {});
  CHECK_THROWS_AS(weight_change(updates_of(tensors).at("unet").at(kQuery).front(), {8, 8}), Error);
  tensors = pair(known + ".lora_B.weight", known + ".lora_A.weight");
  tensors[known + ".alpha"] = at::full({}, std::numeric_limits<float>::infinity());
  CHECK(refused(tensors).exit_code() == 4);
}

/// The tensors "CASE:name" of scripts/goldens/lora.py.
Tensors tensors_of(const test::Golden& golden, const std::string& name) {
  Tensors tensors;
  for (const auto& [key, tensor] : golden.tensors) {
    if (key.rfind(name + ":", 0) == 0) tensors[key.substr(name.size() + 1)] = tensor;
  }
  REQUIRE_FALSE(tensors.empty());
  return tensors;
}

TEST_CASE("LoHa, LoKr, Tucker's forms and whole differences change weights as published",
          "[golden]") {
  const test::Golden golden("lora");
  int cases = 0;
  for (const auto& [key, layer] : golden.metadata) {
    if (key.rfind("case.", 0) != 0) continue;
    const std::string name = key.substr(5);
    INFO(name);
    const bool conv = layer.ends_with("conv1");
    const Updates updates = updates_of(tensors_of(golden, name));
    const at::Tensor expected = golden.at("change." + name);
    test::expect_close(change(updates, "unet", conv ? kConv : kQuery, expected.sizes()), expected,
                       1e-5);
    ++cases;
  }
  CHECK(cases == 9);
}

TEST_CASE("DoRA sets the norms of rows or columns, by its strength", "[golden]") {
  const test::Golden golden("lora");
  for (const std::string name : {"dora_out", "dora_in"}) {
    INFO(name);
    const Updates updates = updates_of(tensors_of(golden, name), 0.5);
    at::Tensor weight = golden.at(name + ".weight").clone();
    apply_update(updates.at("unet").at(kConv).front(), weight);
    test::expect_close(weight, golden.at(name + ".merged"), 1e-5);
  }
}

TEST_CASE("differences of biases and norms go to their own parameters") {
  const std::string conv = "lora_unet_down_blocks_0_resnets_0_conv1";
  const std::string norm = "lora_unet_down_blocks_0_resnets_0_norm1";
  Tensors tensors = {{conv + ".diff", random({8, 8, 3, 3}, 1)},
                     {conv + ".diff_b", random({8}, 2)},
                     {norm + ".w_norm", random({8}, 3)},
                     {norm + ".b_norm", random({8}, 4)}};
  const Updates updates = updates_of(tensors);
  const auto changed = [&](const char* key, std::uint64_t seed) {
    test::expect_close(change(updates, "unet", cat("down_blocks.0.resnets.0.", key), {8}),
                       random({8}, seed), 1e-6);
  };
  changed("conv1.bias", 2);
  changed("norm1.weight", 3);
  changed("norm1.bias", 4);
  CHECK(updates.at("unet").size() == 4);
  tensors[norm + ".w_norm"] = random({9}, 3);
  CHECK_THAT(refused(tensors).message(), Contains("w_norm [9] for a weight [8]"));
}

TEST_CASE("a LoRA of another family is refused by shape before anything is merged") {
  const std::string layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
  const Error error = refused({{layer + ".lora_up.weight", random({8, 2}, 1)},
                               {layer + ".lora_down.weight", random({2, 1024}, 2)}});
  CHECK(error.exit_code() == 4);
  CHECK_THAT(error.message(), Contains("[8, 2] · [2, 1024] for a weight [8, 8]"));
  CHECK_THAT(refused({{layer + ".hada_w1_a", random({8, 2}, 1)}}).message(),
             Contains("without their other half"));
}

}  // namespace ldm
