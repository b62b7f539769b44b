#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/square.h>
#include <ATen/ops/std.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "ldm/core/error.h"
#include "ldm/models/class_embedder.h"
#include "ldm/models/ldm_bert.h"
#include "ldm/models/roberta_series.h"
#include "tests/io/errors.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::models::ClassEmbedder;
using ldm::models::ClassEmbedderConfig;
using ldm::models::LDMBertConfig;
using ldm::models::LDMBertModel;
using ldm::models::RobertaSeriesConfig;
using ldm::models::RobertaSeriesModelWithTransformation;

LDMBertConfig tiny_bert() {
  LDMBertConfig config;
  config.vocab_size = 61;
  config.max_position_embeddings = 20;
  config.encoder_layers = 3;
  config.encoder_ffn_dim = 48;
  config.encoder_attention_heads = 3;
  config.head_dim = 6;
  config.d_model = 24;
  return config;
}

RobertaSeriesConfig tiny_roberta() {
  RobertaSeriesConfig config;
  config.vocab_size = 67;
  config.hidden_size = 24;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 3;
  config.intermediate_size = 40;
  config.max_position_embeddings = 24;
  config.type_vocab_size = 1;
  config.layer_norm_eps = 1e-5;
  config.project_dim = 16;
  return config;
}

RobertaSeriesConfig full_roberta() {
  RobertaSeriesConfig config;
  config.vocab_size = 250002;
  config.hidden_size = 1024;
  config.num_hidden_layers = 24;
  config.num_attention_heads = 16;
  config.intermediate_size = 4096;
  config.max_position_embeddings = 514;
  config.type_vocab_size = 1;
  config.project_dim = 768;
  return config;
}

void check_listing(const torch::nn::Module& module, const std::string& name) {
  const ldm::test::Golden golden("text_encoders");
  std::int64_t values = 0;
  for (const auto& parameter : module.parameters()) values += parameter.numel();
  CHECK(std::to_string(module.named_parameters().size()) == golden.metadata.at(name + "_keys"));
  CHECK(std::to_string(values) == golden.metadata.at(name + "_values"));
  CHECK(ldm::test::listing_hash(module) == golden.metadata.at(name + "_hash"));
}

template <typename Action>
ldm::ErrorCode code_of(Action&& action) {
  const auto error = ldm::test::error_of(action);
  REQUIRE(error);
  return error->code();
}

}  // namespace

TEST_CASE("LDMBertModel equals diffusers", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  LDMBertModel model(tiny_bert());
  golden.load_into(*model, "bert.weights");
  const at::Tensor ids = golden.at("bert.ids");
  ldm::test::expect_close(model->encode(ids, 0), golden.at("bert.out"), 1e-5, "out");
  ldm::test::expect_close(model->encode(ids.narrow(1, 0, 5), 0), golden.at("bert.short"), 1e-5,
                          "short");
  CHECK(model->hidden_size() == 24);
  CHECK(model->max_positions() == 20);
}

TEST_CASE("RobertaSeriesModelWithTransformation equals diffusers", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  const std::string name = GENERATE("roberta", "pre");
  RobertaSeriesConfig config = tiny_roberta();
  config.has_pre_transformation = name == "pre";
  RobertaSeriesModelWithTransformation model(config);
  golden.load_into(*model, name + ".weights");
  const at::Tensor ids = golden.at(name + ".ids");
  ldm::test::expect_close(model->encode(ids, 0), golden.at(name + ".out"), 1e-5, name);
  CHECK(model->hidden_size() == 16);
  CHECK(model->max_positions() == 22);

  config.use_attention_mask = false;
  RobertaSeriesModelWithTransformation unmasked(config);
  golden.load_into(*unmasked, name + ".weights");
  ldm::test::expect_close(unmasked->encode(ids, 0), golden.at(name + ".unmasked"), 1e-5, name);
}

TEST_CASE("text encoders in bf16 stay near the fp32 reference", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  const auto check = [&](auto& model, const std::string& name) {
    golden.load_into(*model, name + ".weights");
    for (auto& parameter : model->parameters()) parameter.set_data(parameter.to(at::kBFloat16));
    const at::Tensor out = model->encode(golden.at(name + ".ids"), 0);
    CHECK(out.scalar_type() == at::kBFloat16);
    const at::Tensor expected = golden.at(name + ".out");
    const at::Tensor error = out.to(at::kFloat) - expected;
    CHECK(error.square().mean().sqrt().item<double>() < 2e-2 * expected.std().item<double>());
  };
  LDMBertModel bert(tiny_bert());
  check(bert, "bert");
  RobertaSeriesModelWithTransformation roberta(tiny_roberta());
  check(roberta, "roberta");
}

TEST_CASE("padding changes nothing of what stands before it in XLM-R", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  RobertaSeriesModelWithTransformation model(tiny_roberta());
  golden.load_into(*model, "roberta.weights");
  const at::Tensor ids = golden.at("roberta.ids").narrow(0, 0, 1);  // seven tokens, then padding
  const at::Tensor padded = model->encode(ids, 0).narrow(1, 0, 7);
  ldm::test::expect_close(model->encode(ids.narrow(1, 0, 7), 0), padded, 1e-5, "tokens");
}

TEST_CASE("ClassEmbedder gives each class its row", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  ClassEmbedderConfig config;
  config.embed_dim = 8;
  config.n_classes = 11;
  ClassEmbedder model(config);
  golden.load_into(*model, "class.weights");
  const at::Tensor classes = golden.at("class.ids");
  CHECK(model->encode(classes, 0).equal(golden.at("class.out")));
  CHECK(model->hidden_size() == 8);
  CHECK(model->max_positions() == 1);

  const auto error = ldm::test::error_of([&] {
    model->encode(at::full({1, 1}, 11, at::kLong), 0);
  });
  REQUIRE(error);
  CHECK(error->code() == ldm::ErrorCode::kUsage);
  CHECK_THAT(error->hint(), ldm::test::Contains("0 to 10"));
  CHECK(code_of([&] {
          model->encode(at::full({1, 1}, -1, at::kLong), 0);
        }) == ldm::ErrorCode::kUsage);
  CHECK(code_of([&] { model->encode(classes, 1); }) == ldm::ErrorCode::kUsage);
}

TEST_CASE("text encoders have the keys and shapes of the published ones", "[golden]") {
  check_listing(*LDMBertModel(LDMBertConfig()), "bert");
  RobertaSeriesConfig config = full_roberta();
  check_listing(*RobertaSeriesModelWithTransformation(config), "m9");
  config.project_dim = 1024;
  config.has_pre_transformation = true;
  check_listing(*RobertaSeriesModelWithTransformation(config), "m18");
}

TEST_CASE("text encoders refuse ids, lengths and clip_skip that do not fit", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("text_encoders");
  LDMBertModel bert(tiny_bert());
  golden.load_into(*bert, "bert.weights");
  RobertaSeriesModelWithTransformation roberta(tiny_roberta());
  golden.load_into(*roberta, "roberta.weights");
  const auto check = [](auto& model, std::int64_t vocabulary) {
    const std::int64_t longest = model->max_positions();
    const auto of = [&](std::int64_t length, std::int64_t id, std::int64_t clip_skip) {
      return code_of([&] { model->encode(at::full({1, length}, id, at::kLong), clip_skip); });
    };
    CHECK(model->encode(at::zeros({1, longest}, at::kLong), 0).size(1) == longest);
    CHECK(of(longest + 1, 0, 0) == ldm::ErrorCode::kModel);
    CHECK(of(3, vocabulary, 0) == ldm::ErrorCode::kModel);
    CHECK(of(3, -1, 0) == ldm::ErrorCode::kModel);
    CHECK(of(3, 0, 1) == ldm::ErrorCode::kUsage);
  };
  check(bert, 61);
  check(roberta, 67);
}

TEST_CASE("text encoder configs refuse what no encoder can have") {
  const auto refused = [](auto config, auto change) {
    CHECK_NOTHROW(config.validate());
    change(config);
    CHECK(code_of([&] { config.validate(); }) == ldm::ErrorCode::kModel);
  };
  using Bert = LDMBertConfig;
  refused(Bert(), [](Bert& c) { c.head_dim = 0; });
  refused(Bert(), [](Bert& c) { c.encoder_layers = 1 << 20; });
  refused(Bert(), [](Bert& c) { c.d_model = -1; });
  refused(Bert(), [](Bert& c) { c.encoder_attention_heads = c.head_dim = 1 << 23; });
  refused(Bert(), [](Bert& c) { c.activation_function = "gelu_new"; });
  using Roberta = RobertaSeriesConfig;
  refused(Roberta(), [](Roberta& c) { c.num_attention_heads = 7; });
  refused(Roberta(), [](Roberta& c) { c.pad_token_id = -1; });
  refused(Roberta(), [](Roberta& c) { c.pad_token_id = c.max_position_embeddings - 1; });
  refused(Roberta(), [](Roberta& c) { c.layer_norm_eps = 0.0; });
  refused(Roberta(), [](Roberta& c) { c.num_hidden_layers = 0; });
  refused(Roberta(), [](Roberta& c) { c.position_embedding_type = "relative_key"; });
  refused(ClassEmbedderConfig(), [](ClassEmbedderConfig& c) { c.n_classes = 0; });
}
