// Whole runs against the public pipelines: scripts/goldens/runs.py.
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

std::filesystem::path model_path(const std::string& name) {
  return name == "default" ? default_model() : test::test_file("golden/runs/" + name);
}

Request request_of(const nlohmann::json& c) {
  Request request;
  request.prompt = c.at("prompt");
  request.negative_prompt = c.value("negative_prompt", "");
  request.num_inference_steps = c.at("num_inference_steps");
  request.guidance_scale = c.at("guidance_scale");
  request.guidance_rescale = c.value("guidance_rescale", 0.0);
  request.width = c.value("width", 0);
  request.height = c.value("height", 0);
  request.seed = c.at("seed");
  request.num_images = c.value("num_images", 1);
  request.clip_skip = c.value("clip_skip", 0);
  request.strength = c.value("strength", 0.8);
  request.sampler = c.value("sampler", "");
  request.schedule.name = c.value("schedule", "default");
  return request;
}

struct Pictures {
  std::vector<at::Tensor> latents;
  std::vector<at::Tensor> images;
};

Pictures run(Pipeline& pipeline, const Request& request) {
  Pictures pictures;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&& result) {
    pictures.latents.push_back(latents_to_tensor(result.latents, 0, 1));
    at::Tensor image = image_to_tensor(result.image);
    pictures.images.push_back(((image + 1) * 127.5).round().permute({0, 2, 3, 1}));
  };
  pipeline.run(pipeline.plan(request), callbacks);
  return pictures;
}

void check_case(Pipeline& pipeline, const test::Golden& golden, const std::string& key,
                const nlohmann::json& described) {
  INFO(key << " " << described.dump());
  Request request = request_of(described);
  if (golden.has(key + ".init_image"))
    request.init_image = test::image_of(golden.at(key + ".init_image"));
  for (const int batch : {1, 2}) {
    if (batch > request.num_images) continue;
    INFO("batch " << batch);
    request.batch_size = batch;
    const Pictures pictures = run(pipeline, request);
    test::expect_close(at::cat(pictures.latents), golden.at(key + ".latents"), 1e-4, "latents");
    const at::Tensor difference =
        (at::cat(pictures.images) - golden.at(key + ".images").to(at::kFloat)).abs();
    CHECK(difference.max().item<float>() <= 1.0F);
  }
}

Pipeline open_pipeline(const std::string& name) {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  return Pipeline(open_components(open_model(model_path(name)), execution));
}

}  // namespace

TEST_CASE("every sampler's latents equal the public pipelines'", "[golden]") {
  for (const std::string name : {"sd1", "sd2"}) {
    const test::Golden golden("runs/" + name + "_samplers");
    Pipeline pipeline = open_pipeline(name);
    std::size_t cases = 0;
    for (const auto& [key, text] : golden.metadata) {
      if (key.rfind("case.", 0) != 0) continue;
      INFO(name << " " << key);
      Request request = request_of(nlohmann::json::parse(text));
      if (key.find("img2img") != std::string::npos) {
        request.init_image = test::image_of(golden.at("init_image"));
      }
      request.batch_size = request.num_images;
      const Pictures pictures = run(pipeline, request);
      test::expect_close(at::cat(pictures.latents), golden.at(key.substr(5) + ".latents"), 1e-4);
      ++cases;
    }
    CHECK(cases >= 17);
  }
}

TEST_CASE("whole runs equal the public pipelines'", "[golden]") {
  for (const std::string name : {"sd1", "sd2", "default"}) {
    const test::Golden golden("runs/" + name);
    Pipeline pipeline = open_pipeline(name);
    std::size_t cases = 0;
    for (const auto& [key, text] : golden.metadata) {
      if (key.rfind("case.", 0) != 0) continue;
      INFO(name);
      check_case(pipeline, golden, key.substr(5), nlohmann::json::parse(text));
      ++cases;
    }
    CHECK(cases >= (name == "default" ? 13 : 20));
  }
}

}  // namespace ldm
