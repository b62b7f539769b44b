// Models whose UNet reads more than noisy latents, against the public pipelines:
// scripts/goldens/conditions.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/io/json.h"
#include "ldm/io/safetensors.h"
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

namespace fs = std::filesystem;
using test::image_of;

void write_json(const fs::path& path, const nlohmann::json& value) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << value.dump();
}

/// runs/sd1 with the golden's own first convolution (and noise-level table) of `kind`.
void write_model(const fs::path& folder, const test::Golden& golden, const std::string& kind) {
  const fs::path source = test::test_file("golden/runs/sd1");
  fs::copy(source, folder, fs::copy_options::recursive);
  const fs::path unet = folder / "unet/diffusion_pytorch_model.fp16.safetensors";
  const SafetensorsFile file(source / "unet/diffusion_pytorch_model.fp16.safetensors");
  std::map<std::string, std::vector<std::byte>> contents;
  std::vector<TensorData> tensors;
  for (const TensorInfo& info : file.header().tensors) {
    if (info.name == "conv_in.weight") continue;
    std::vector<std::byte>& bytes = contents[info.name];
    bytes.resize(info.byte_size());
    file.read(info, bytes);
    tensors.push_back({info.name, info.dtype, info.shape, bytes});
  }
  nlohmann::json config = read_json_file(source / "unet/config.json");
  for (const std::string name : {"conv_in.weight", "class_embedding.weight"}) {
    if (!golden.has(kind + "." + name)) continue;
    const at::Tensor value = golden.at(kind + "." + name).contiguous();
    const auto size = static_cast<std::size_t>(value.numel()) * 2;
    const auto* bytes = static_cast<const std::byte*>(value.const_data_ptr());
    tensors.push_back({name, DType::F16, value.sizes().vec(), {bytes, size}});
    contents[name];
    if (name == "conv_in.weight") config["in_channels"] = value.size(1);
    if (name == "class_embedding.weight") config["num_class_embeds"] = value.size(0);
  }
  write_safetensors(unet, tensors, {}, IfExists::kReplace);
  write_json(folder / "unet/config.json", config);
}

Request request_of(const nlohmann::json& described, const test::Golden& golden,
                   const std::string& kind) {
  Request request;
  request.prompt = "a red apple";
  request.negative_prompt = "ugly";
  request.num_inference_steps = 6;
  request.guidance_scale = 5.0;
  request.seed = 7;
  request.init_image = image_of(golden.at(kind + ".init_image"));
  if (golden.has(kind + ".mask")) request.mask = image_of(golden.at(kind + ".mask"));
  if (golden.has(kind + ".depth")) request.depth = image_of(golden.at(kind + ".depth"));
  if (described.contains("strength")) request.strength = described.at("strength").get<double>();
  request.image_guidance_scale = described.value("image_guidance_scale", 1.5);
  request.noise_level = described.value("noise_level", 20);
  return request;
}

std::shared_ptr<Components> open_kind(const fs::path& folder, const test::Golden& golden,
                                      const std::string& kind) {
  const auto described = nlohmann::json::parse(golden.metadata.at("case." + kind));
  write_model(folder, golden, kind);
  nlohmann::json index = read_json_file(folder / "model_index.json");
  index["_class_name"] = described.at("pipeline");
  write_json(folder / "model_index.json", index);
  if (kind == "upscale") {
    write_json(folder / "low_res_scheduler/scheduler_config.json",
               nlohmann::json::parse(golden.metadata.at("low_res_scheduler")));
    // The public upscaler takes the scale of its siblings for a mistake and replaces it.
    nlohmann::json vae = read_json_file(folder / "vae/config.json");
    vae["scaling_factor"] = 0.08333;
    write_json(folder / "vae/config.json", vae);
  }
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  return open_components(open_model(folder), execution);
}

}  // namespace

TEST_CASE("models that read pictures equal the public pipelines", "[golden]") {
  const test::Golden golden("conditions");
  for (const std::string kind : {"inpaint", "inpaint_part", "pix2pix", "depth", "upscale"}) {
    INFO(kind);
    const test::TempDir dir;
    Pipeline pipeline(open_kind(dir.path() / "model", golden, kind));
    const Request request =
        request_of(nlohmann::json::parse(golden.metadata.at("case." + kind)), golden, kind);
    int pictures = 0;
    RunCallbacks callbacks;
    callbacks.on_image = [&](ImageResult&& result) {
      test::expect_close(latents_to_tensor(result.latents, 0, 1), golden.at(kind + ".latents"),
                         1e-4, "latents");
      const at::Tensor image =
          ((image_to_tensor(result.image) + 1) * 127.5).round().permute({0, 2, 3, 1});
      const at::Tensor difference = (image - golden.at(kind + ".images").to(at::kFloat)).abs();
      CHECK(difference.max().item<float>() <= 1.0F);
      ++pictures;
    };
    pipeline.run(pipeline.plan(request), callbacks);
    CHECK(pictures == 1);
  }
}

TEST_CASE("what a model reads beside text is asked for, and nothing else") {
  const test::Golden golden("conditions");
  const test::TempDir dir;
  const Pipeline inpainting(open_kind(dir.path() / "inpaint", golden, "inpaint"));
  const Pipeline depth(open_kind(dir.path() / "depth", golden, "depth"));
  const auto refusal = [](const Pipeline& pipeline, const Request& request) {
    try {
      pipeline.plan(request);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kUsage);
      return error.message();
    }
    return std::string("accepted");
  };
  Request request;
  request.prompt = "a";
  CHECK_THAT(refusal(inpainting, request), Catch::Matchers::Contains("--mask"));
  CHECK_THAT(refusal(depth, request), Catch::Matchers::Contains("--depth"));
  request.depth = image_of(golden.at("depth.depth"));
  CHECK(depth.plan(request).condition == ImageCondition::kDepth);
  CHECK(!depth.plan(request).image_to_image);
  request.class_label = 3;
  CHECK_THAT(refusal(depth, request), Catch::Matchers::Contains("--class"));
  request.class_label.reset();
  request.mask = request.depth;
  CHECK_THAT(refusal(depth, request), Catch::Matchers::Contains("inpainting"));
}

}  // namespace ldm
