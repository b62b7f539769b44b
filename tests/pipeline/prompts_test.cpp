// Weighted, changing and joined prompts against the published rules: scripts/goldens/prompts.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/plan.h"
#include "ldm/pipeline/text_cache.h"
#include "ldm/pipeline/text_embedding.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using Json = nlohmann::json;

std::shared_ptr<Components> open_tiny(const std::string& name) {
  return test::tiny_components(name, 1);
}

/// Six DDIM steps of a weighted prompt.
Request request_of(const Json& described) {
  Request request;
  request.prompt = described.at("prompt");
  request.negative_prompt = described.value("negative_prompt", "");
  request.guidance_scale = described.value("guidance_scale", 1.0);
  request.seed = described.value("seed", 0);
  request.clip_skip = described.value("skip", 0);
  request.num_inference_steps = 6;
  request.sampler = "ddim";
  request.width = 64;
  request.height = 64;
  const bool plain = described.value("plain", false);
  request.prompt_syntax = plain ? PromptSyntax::kPlain : PromptSyntax::kWeighted;
  const std::string weighting = described.value("weighting", "mean-restoring");
  if (weighting == "plain") request.prompt_weighting = PromptWeighting::kPlain;
  if (weighting == "comfyui") request.prompt_weighting = PromptWeighting::kComfyUI;
  request.long_prompt =
      described.value("long", "truncate") == "chunk" ? LongPrompt::kChunk : LongPrompt::kTruncate;
  return request;
}

at::Tensor ids_of(const PromptTokens& tokens) { return at::tensor(tokens.ids); }

at::Tensor weights_of(const PromptTokens& tokens) {
  return tokens.weights.empty() ? at::ones({static_cast<std::int64_t>(tokens.ids.size())})
                                : at::tensor(tokens.weights);
}

/// Rows 0 … 5 and 76 of each chunk of [1, n · 77, D].
at::Tensor some_rows(const at::Tensor& context) {
  const at::Tensor chunks = context[0].unflatten(0, {-1, 77});
  return at::cat({chunks.narrow(1, 0, 6), chunks.narrow(1, 76, 1)}, 1);
}

/// Cases of the golden whose names begin with `kind`.
std::map<std::string, Json> cases(const test::Golden& golden, const std::string& kind) {
  std::map<std::string, Json> found;
  for (const auto& [key, text] : golden.metadata) {
    if (key.rfind(kind, 0) == 0) found.emplace(key.substr(kind.size()), Json::parse(text));
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

std::vector<at::Tensor> latents_of(Pipeline& pipeline, const std::vector<Plan>& plans,
                                   int batch_size) {
  std::vector<at::Tensor> latents;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&& result) {
    latents.push_back(latents_to_tensor(result.latents, 0, 1));
  };
  pipeline.run(plans, batch_size, callbacks);
  return latents;
}

}  // namespace

TEST_CASE("ids, weights and embeddings follow the published rules", "[golden]") {
  const test::Golden golden("prompts");
  for (const std::string model : {"sd1", "sd2"}) {
    const auto components = open_tiny(model);
    for (const auto& [key, described] : cases(golden, "embedding." + model + ".")) {
      INFO(model << " " << key << " " << described.dump());
      const Plan plan = make_plan(*components, request_of(described));
      REQUIRE(plan.prompts.size() == 1);
      const PromptTokens& tokens = plan.prompts[0].texts.at(0);
      const std::string name = model + "." + key;
      CHECK(at::equal(ids_of(tokens), golden.at(name + ".ids").to(at::kLong)));
      test::expect_close(weights_of(tokens), golden.at(name + ".weights"), 1e-6, "weights");
      TextCache cache;
      const EncodedText text = encode_prompts(*components, plan, cache);
      REQUIRE(text.contexts.size() == 1);
      test::expect_close(some_rows(text.at(0)), golden.at(name + ".embedding"), 1e-5, "embedding");
      CHECK_FALSE(needs_text_encoder(*components, plan, cache));
    }
  }
}

TEST_CASE("edited and alternating prompts read at each step as published", "[golden]") {
  const test::Golden golden("prompts");
  const auto components = open_tiny("sd1");
  for (const auto& [key, described] : cases(golden, "timed.")) {
    INFO(key << " " << described.dump());
    const Plan plan = make_plan(*components, request_of(described));
    REQUIRE(plan.steps == 6);
    for (int step = 0; step < 6; ++step) {
      INFO("step " << step + 1);
      const PromptTokens& tokens = plan.prompts[0].at(step);
      const at::Tensor ids = golden.at("timed." + key + ".ids")[step].to(at::kLong);
      CHECK(at::equal(ids_of(tokens).narrow(0, 0, ids.numel()), ids));
      test::expect_close(weights_of(tokens).narrow(0, 0, ids.numel()),
                         golden.at("timed." + key + ".weights")[step], 1e-6);
    }
  }
}

TEST_CASE("whole runs of weighted, edited, joined and long prompts", "[golden]") {
  const test::Golden golden("prompts");
  Pipeline pipeline(open_tiny("sd1"));
  for (const auto& [key, described] : cases(golden, "run.")) {
    INFO(key << " " << described.dump());
    Request request = request_of(described);
    request.long_prompt = LongPrompt::kChunk;
    const std::vector<at::Tensor> latents = latents_of(pipeline, {pipeline.plan(request)}, 1);
    test::expect_close(latents.at(0), golden.at("run." + key + ".latents"), 1e-4, "latents");
  }
}

TEST_CASE("an image of a batch of changing and joined prompts equals the image alone") {
  Pipeline pipeline(open_tiny("sd1"));
  const std::string many = " token red apple token red apple token red apple token red apple";
  const std::string longer = many + many + many + many + many;
  const std::vector<std::vector<std::string>> batches = {
      {"a [red:apple:0.5]", "(token:1.3) [a|red|]", "apple"},
      {"a red AND apple :0.5", "[a:token:2] AND (red:0.7) :0.5"},
      {"a" + longer, "red BREAK apple", "[a|red] BREAK (token)"},
  };
  for (const auto& prompts : batches) {
    std::vector<Plan> plans;
    for (const std::string& prompt : prompts) {
      Request request = request_of({{"prompt", prompt}, {"guidance_scale", 5.0}, {"seed", 3}});
      request.long_prompt = LongPrompt::kChunk;
      plans.push_back(pipeline.plan(request));
      INFO(prompt);
      CHECK(Pipeline::can_share_batch(plans.front(), plans.back()));
    }
    const auto together = latents_of(pipeline, plans, static_cast<int>(plans.size()));
    for (std::size_t i = 0; i < plans.size(); ++i) {
      INFO(prompts[i]);
      const auto alone = latents_of(pipeline, {plans[i]}, 1);
      test::expect_close(together.at(i), alone.at(0), 1e-5, "latents");
    }
  }
}

TEST_CASE("prompts of other shapes share no batch") {
  Pipeline pipeline(open_tiny("sd1"));
  const auto plan = [&](const std::string& prompt) {
    return pipeline.plan(request_of({{"prompt", prompt}, {"guidance_scale", 5.0}}));
  };
  const Plan one = plan("a red apple");
  CHECK_FALSE(Pipeline::can_share_batch(one, plan("a BREAK red")));
  CHECK_FALSE(Pipeline::can_share_batch(one, plan("a red AND apple")));
  CHECK_FALSE(Pipeline::can_share_batch(plan("a AND b :0.5"), plan("a AND b :0.6")));
  CHECK_FALSE(Pipeline::can_share_batch(plan("a [red:red BREAK apple:3]"), plan("a BREAK b")));
}

TEST_CASE("an edited prompt encodes only the chunks that change") {
  const auto components = open_tiny("sd1");
  const Plan plan = make_plan(
      *components, request_of({{"prompt", "a token BREAK [red:apple:0.5] BREAK (a:1.2) token"}}));
  REQUIRE(plan.prompts[0].texts.size() == 2);
  TextCache cache;
  const EncodedText text = encode_prompts(*components, plan, cache);
  CHECK(text.contexts.size() == 2);
  CHECK_FALSE(text.changes(2));
  CHECK(text.changes(3));
  // "a token" stands in two chunks under other weights, and is encoded once.
  CHECK(cache.size() == 3);
}

TEST_CASE("samplers that call the UNet twice a step change the words at the right one") {
  Pipeline pipeline(open_tiny("sd1"));
  Request request = request_of({{"prompt", "a [red:apple:0.5]"}, {"guidance_scale", 5.0}});
  request.sampler = "pndm";
  const Plan plan = pipeline.plan(request);
  REQUIRE(plan.steps == 7);
  CHECK(plan.prompts[0].at_call == std::vector<int>{0, 0, 0, 0, 1, 1, 1});
  request.sampler = "ddim";
  request.init_image = std::make_shared<Image>(Image{64, 64, std::vector<std::uint8_t>(12288, 9)});
  request.strength = 0.67;
  const Plan part = pipeline.plan(request);
  CHECK(part.prompts[0].at_call == std::vector<int>{0, 0, 1, 1});
}

TEST_CASE("a wrong prompt and one that must not be cut are input errors") {
  Pipeline pipeline(open_tiny("sd1"));
  Request request = request_of({{"prompt", "a (red"}});
  CHECK_THROWS_AS(pipeline.plan(request), Error);
  request.prompt = "a BREAK red";
  request.long_prompt = LongPrompt::kError;
  CHECK(pipeline.plan(request).chunks == std::vector<int>{2});
  std::string longer;
  for (int i = 0; i < 80; ++i) longer += "red ";
  request.prompt = "[a:" + longer + ":0.5]";
  try {
    pipeline.plan(request);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.exit_code() == 3);
    CHECK_THAT(error.message(), Contains("75 fit"));
  }
}

}  // namespace ldm
