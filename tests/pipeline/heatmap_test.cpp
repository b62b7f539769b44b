// Heat maps of a word against diffusers' attention processors: scripts/goldens/heatmap.py.
#include "ldm/pipeline/heatmap.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

Request request_of(const nlohmann::json& c) {
  Request request = test::request_of_case(c);
  request.heatmap = c.at("word");
  return request;
}

}  // namespace

TEST_CASE("heat maps equal the mean attention of diffusers' processors", "[golden]") {
  const test::Golden golden("heatmap");
  std::map<std::string, std::unique_ptr<Pipeline>> pipelines;
  int cases = 0;
  for (const auto& [key, text] : golden.metadata) {
    if (key.rfind("case.", 0) != 0) continue;
    INFO(key << " " << text);
    std::unique_ptr<Pipeline>& pipeline = pipelines[key.substr(5, 3)];
    if (!pipeline) pipeline = std::make_unique<Pipeline>(test::tiny_components(key.substr(5, 3)));
    Request request = request_of(nlohmann::json::parse(text));
    const at::Tensor expected = golden.at(key.substr(5));
    for (const int batch : {1, 2}) {
      if (batch > request.num_images) continue;
      request.batch_size = batch;
      std::vector<at::Tensor> maps;
      for (const ImageResult& result : test::run(*pipeline, request)) {
        maps.push_back(at::tensor(result.heat).view(expected.sizes().slice(1)));
        REQUIRE(result.heatmap.has_value());
        CHECK(result.heatmap->rgb.size() == result.image.rgb.size());
      }
      test::expect_close(at::stack(maps), expected, 1e-4, key);
    }
    ++cases;
  }
  CHECK(cases == 8);
}

TEST_CASE("a heat map is of the prompt's row also where images share what comes before the text") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request;
  request.prompt = "a red apple";
  request.heatmap = "apple";
  request.num_inference_steps = 1;
  request.num_images = 2;
  request.batch_size = 2;
  request.width = request.height = 512;  // a side of 64 latents or more is shared
  request.guidance_scale = 1;
  const std::vector<ImageResult> alone = test::run(pipeline, request);
  request.guidance_scale = 5;
  const std::vector<ImageResult> guided = test::run(pipeline, request);
  for (std::size_t k = 0; k < 2; ++k) {
    const at::Tensor expected = at::tensor(alone[k].heat);
    CHECK(expected.amax().item<float>() > 0);
    test::expect_close(at::tensor(guided[k].heat), expected, 1e-4);
  }
  CHECK(guided[0].heat != guided[1].heat);
}

TEST_CASE("a heat map changes no picture and needs a word of the prompt") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request;
  request.prompt = "a red apple";
  request.num_inference_steps = 3;
  request.sampler = "ddim";
  const std::vector<ImageResult> plain = test::run(pipeline, request);
  CHECK(plain.front().heat.empty());
  CHECK_FALSE(plain.front().heatmap.has_value());
  request.heatmap = "apple";
  CHECK(test::run(pipeline, request).front().latents.values == plain.front().latents.values);
  request.heatmap = "pear";
  CHECK_THROWS_WITH(pipeline.plan(request),
                    Catch::Contains("--heatmap: the prompt has no \"pear\""));
}

TEST_CASE("a heat map is also of a learned word, of all its vectors") {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  Pipeline pipeline(
      open_components(open_model(test::test_file("golden/runs/sd1")), execution, {},
                      {{test::test_file("golden/embeddings/ink.safetensors"), "<ink>"}}));
  Request request;
  request.prompt = "an apple in <ink> on paper";
  request.heatmap = "<ink>";
  request.num_inference_steps = 2;
  const Plan plan = pipeline.plan(request);
  const std::vector<std::int64_t>& ids = plan.prompts.front().texts.front().ids;
  REQUIRE_FALSE(plan.heatmap_tokens.empty());
  const std::int64_t first = ids[static_cast<std::size_t>(plan.heatmap_tokens.front())];
  for (std::size_t i = 0; i < plan.heatmap_tokens.size(); ++i) {
    CHECK(plan.heatmap_tokens[i] == plan.heatmap_tokens.front() + static_cast<std::int64_t>(i));
    CHECK(ids[static_cast<std::size_t>(plan.heatmap_tokens[i])] ==
          first + static_cast<std::int64_t>(i));
  }
  CHECK(at::tensor(test::run(pipeline, request).front().heat).amax().item<float>() > 0);
}

TEST_CASE("a heat map's word that no prompt could hold is refused") {
  Pipeline pipeline = test::open_tiny("sd1");
  Request request;
  request.prompt = "a red apple";
  for (int i = 0; i < 100; ++i) request.heatmap += "apple ";
  CHECK_THROWS_AS(pipeline.plan(request), Error);
}

TEST_CASE("a word is found wherever its tokens follow one another") {
  using Ids = std::vector<std::int64_t>;
  CHECK(positions_of(Ids{5}, Ids{1, 5, 2, 5, 3}) == Ids{1, 3});
  CHECK(positions_of(Ids{5, 2}, Ids{1, 5, 2, 5, 3, 5, 2}) == Ids{1, 2, 5, 6});
  CHECK(positions_of(Ids{7}, Ids{1, 5}).empty());
  CHECK(positions_of(Ids{}, Ids{1, 5}).empty());
}

TEST_CASE("the largest value is drawn red and none blue") {
  const Image picture{16, 8, std::vector<std::uint8_t>(16 * 8 * 3, 0)};
  at::Tensor map = at::zeros({2, 4});
  map[0][0] = 0.5;
  const Image drawn = draw_heatmap(picture, map);
  CHECK(drawn.rgb[0] > drawn.rgb[2]);
  const std::size_t last = drawn.rgb.size() - 3;
  CHECK(drawn.rgb[last] == 0);
  CHECK(drawn.rgb[last + 2] > 50);
}

}  // namespace ldm
