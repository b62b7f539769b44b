// ControlNets against the public pipelines, and edges against OpenCV's:
// scripts/goldens/controlnet.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/io/canny.h"
#include "ldm/io/json.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/original_layout.h"
#include "ldm/io/safetensors.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

fs::path model_path(const std::string& name) { return test::test_file("golden/runs/" + name); }

nlohmann::json config_for(const std::string& model) {
  nlohmann::json config = read_json_file(model_path(model) / "unet/config.json");
  config["_class_name"] = "ControlNetModel";
  config["conditioning_embedding_out_channels"] = {4, 4, 8, 8};
  return config;
}

using Weights = std::map<std::string, at::Tensor>;

/// What scripts/goldens/controlnet.py gives ControlNet `number` of that model.
Weights weights_for(const std::string& model, int number) {
  const nlohmann::json config = config_for(model);
  models::ControlNetConfig fields;
  fields.block_out_channels = config["block_out_channels"].get<std::vector<std::int64_t>>();
  fields.layers_per_block = IntOrList(config["layers_per_block"].get<std::int64_t>());
  fields.down_block_types = config["down_block_types"].get<std::vector<std::string>>();
  fields.cross_attention_dim = IntOrList(config["cross_attention_dim"].get<std::int64_t>());
  fields.norm_num_groups = config["norm_num_groups"].get<std::int64_t>();
  fields.use_linear_projection = config["use_linear_projection"].get<bool>();
  fields.attention_head_dim = IntOrList(4);
  fields.conditioning_embedding_out_channels = {4, 4, 8, 8};
  models::ControlNetModel net(fields);
  test::fill_by_formula(*net, static_cast<std::uint64_t>(1000 * (number + 1)));
  Weights weights;
  for (const auto& item : net->named_parameters()) {
    weights.emplace(item.key(), item.value().detach().contiguous());
  }
  return weights;
}

void write_weights(const fs::path& path, const Weights& weights, const std::string& prefix = {}) {
  std::vector<TensorData> tensors;
  for (const auto& [name, tensor] : weights) {
    const auto* values = tensor.const_data_ptr<float>();
    tensors.push_back({prefix + name, DType::F32, tensor.sizes().vec(),
                       std::as_bytes(std::span(values, static_cast<std::size_t>(tensor.numel())))});
  }
  write_safetensors(path, tensors, {}, IfExists::kReplace);
}

void write_folder(const fs::path& folder, const std::string& model, int number) {
  fs::create_directories(folder);
  std::ofstream(folder / "config.json") << config_for(model).dump();
  write_weights(folder / "diffusion_pytorch_model.safetensors", weights_for(model, number));
}

std::shared_ptr<Components> open_tiny(const std::string& name,
                                      const std::vector<ControlNetChoice>& nets) {
  auto components = test::open_fp32(model_path(name));
  add_controlnets(*components, nets);
  return components;
}

std::shared_ptr<const Image> mirrored(const Image& image) {
  auto out = std::make_shared<Image>(image);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        out->rgb[static_cast<std::size_t>((y * image.width + x) * 3 + c)] =
            image.rgb[static_cast<std::size_t>((y * image.width + image.width - 1 - x) * 3 + c)];
      }
    }
  }
  return out;
}

Request request_of(const nlohmann::json& c, const test::Golden& golden) {
  Request request = test::request_of_case(c);
  request.control_start = c.value("control_start", 0.0);
  request.control_end = c.value("control_end", 1.0);
  const int side = c.contains("control_size") ? 80 : request.width;
  const auto control = test::image_of(golden.at("control." + std::to_string(side)));
  request.control_images.push_back({control, std::nullopt});
  if (c.at("scales").size() > 1) {
    request.control_images.push_back({mirrored(*control), std::nullopt});
  }
  if (c.contains("strength")) {
    request.init_image = test::image_of(golden.at("control.64"));
    request.strength = c["strength"];
  }
  return request;
}

}  // namespace

TEST_CASE("ControlNets equal the public pipelines'", "[golden]") {
  const test::Golden golden("controlnet");
  const test::TempDir dir;
  for (const std::string name : {"sd1", "sd2"}) {
    for (const int i : {0, 1}) write_folder(dir / (name + std::to_string(i)), name, i);
  }
  int cases = 0;
  for (const auto& [key, text] : golden.metadata) {
    if (key.rfind("case.", 0) != 0) continue;
    INFO(key << " " << text);
    const nlohmann::json described = nlohmann::json::parse(text);
    const std::string name = key.substr(5, 3);
    std::vector<ControlNetChoice> nets;
    for (std::size_t i = 0; i < described["scales"].size(); ++i) {
      nets.push_back({dir / (name + std::to_string(i)), described["scales"][i].get<double>()});
    }
    Pipeline pipeline(open_tiny(name, nets));
    Request request = request_of(described, golden);
    for (const int batch : {1, 2}) {
      if (batch > request.num_images) continue;
      request.batch_size = batch;
      test::expect_close(test::latents_of(pipeline, request), golden.at(key.substr(5)), 1e-4, key);
    }
    ++cases;
  }
  CHECK(cases == 16);
}

TEST_CASE("edges equal OpenCV's, pixel by pixel", "[golden]") {
  const test::Golden golden("controlnet");
  const auto picture = test::image_of(golden.at("canny.picture"));
  int cases = 0;
  for (const auto& [low, high] : {std::pair{100, 200}, {50, 400}, {300, 700}, {0, 0}}) {
    INFO(low << "," << high);
    const Image edges = canny_edges(*picture, low, high);
    const at::Tensor expected =
        golden.at("canny." + std::to_string(low) + "." + std::to_string(high));
    REQUIRE(edges.rgb.size() == 3 * static_cast<std::size_t>(expected.numel()));
    const auto* bytes = expected.const_data_ptr<std::uint8_t>();
    std::size_t different = 0;
    for (std::size_t i = 0; i < edges.rgb.size(); ++i) different += edges.rgb[i] != bytes[i / 3];
    CHECK(different == 0);
    ++cases;
  }
  CHECK(cases == 4);
}

TEST_CASE("a ControlNet in the original layout is the same one") {
  const test::Golden golden("controlnet");
  const test::TempDir dir;
  const Weights weights = weights_for("sd1", 0);
  write_folder(dir / "folder", "sd1", 0);
  write_weights(dir / "named.safetensors", weights);
  // The original names, from the table that reads them.
  const auto named = open_tensors(dir / "named.safetensors");
  UNetOutline outline;
  outline.levels = 2;
  outline.layers = 1;
  outline.attention = {true, false};
  RenamedTensors original(named);
  const std::vector<std::string> left = add_to_original(
      original, *named, keys_below(*named, ""), controlnet_blocks(outline, 4), "control_model.");
  CHECK(left.empty());
  std::vector<TensorData> tensors;
  std::map<std::string, std::vector<std::byte>> bytes;
  for (const std::string& name : original.names()) {
    const TensorInfo& info = *original.find(name);
    bytes[name].resize(info.byte_size());
    original.read(name, bytes[name]);
    tensors.push_back({name, info.dtype, info.shape, bytes[name]});
  }
  CHECK(bytes.contains("control_model.input_hint_block.14.weight"));
  CHECK(bytes.contains("control_model.zero_convs.3.0.bias"));
  CHECK(bytes.contains("control_model.middle_block_out.0.weight"));
  CHECK(bytes.contains("control_model.input_blocks.1.1.proj_in.weight"));
  write_safetensors(dir / "original.safetensors", tensors, {}, IfExists::kReplace);
  const nlohmann::json described = nlohmann::json::parse(golden.metadata.at("case.sd1.plain"));
  const Request request = request_of(described, golden);
  const auto run = [&](const char* file) {
    Pipeline pipeline(open_tiny("sd1", {{dir / file, 0.9}}));
    return test::latents_of(pipeline, request);
  };
  const at::Tensor folder = run("folder");
  CHECK(at::equal(run("named.safetensors"), folder));
  CHECK(at::equal(run("original.safetensors"), folder));
}

TEST_CASE("ControlNets of another family and files that hold none are refused in one line") {
  const test::TempDir dir;
  write_folder(dir / "sd1", "sd1", 0);
  CHECK_THROWS_WITH(
      open_tiny("sd1", {{model_path("sd1") / "unet/diffusion_pytorch_model.fp16.safetensors", 1}}),
      Catch::Contains("holds no ControlNet"));
  CHECK_THROWS_WITH(open_tiny("sd1", {{model_path("sd1") / "unet", 1}}),
                    Catch::Contains("a UNet2DConditionModel, not a ControlNetModel"));
  CHECK_THROWS_WITH(open_tiny("sd1", {{dir / "none.safetensors", 1}}),
                    Catch::Contains("none.safetensors"));
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  auto other = open_components(open_model(default_model()), execution);
  CHECK_THROWS_WITH(add_controlnets(*other, {{dir / "sd1", 1}}),
                    Catch::Contains("a ControlNet of another family"));
  Weights broken = weights_for("sd1", 0);
  broken.erase("controlnet_mid_block.weight");
  write_weights(dir / "broken.safetensors", broken);
  CHECK_THROWS_WITH(open_tiny("sd1", {{dir / "broken.safetensors", 1}}),
                    Catch::Contains("weights do not fit the config"));
  write_weights(dir / "difference.safetensors",
                {{"difference", at::Tensor(broken.begin()->second)}});
  CHECK_THROWS_WITH(open_tiny("sd1", {{dir / "difference.safetensors", 1}}),
                    Catch::Contains("holds differences to a UNet's weights"));
}

TEST_CASE("every ControlNet needs its picture") {
  const test::Golden golden("controlnet");
  const test::TempDir dir;
  write_folder(dir / "net", "sd1", 0);
  const Pipeline pipeline(open_tiny("sd1", {{dir / "net", 1}}));
  Request request;
  CHECK_THROWS_WITH(pipeline.plan(request),
                    Catch::Contains("1 ControlNet needs as many control pictures, found 0"));
  const auto picture = test::image_of(golden.at("control.64"));
  request.control_images = {{picture, std::nullopt}, {picture, std::nullopt}};
  CHECK_THROWS_WITH(pipeline.plan(request), Catch::Contains("found 2"));
  request.control_images.pop_back();
  request.control_start = 0.8;
  request.control_end = 0.2;
  CHECK_THROWS_WITH(pipeline.plan(request), Catch::Contains("not in order within 0…1"));
  // Half of the run costs less than all of it.
  request.control_start = 0;
  request.control_end = 1;
  const double all = pipeline.picture_cost(pipeline.plan(request)).steps;
  request.control_end = 0.5;
  CHECK(pipeline.picture_cost(pipeline.plan(request)).steps < all);
}

}  // namespace ldm
