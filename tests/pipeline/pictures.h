#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ldm/io/image.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "tests/support/temp_dir.h"

namespace ldm::test {

/// A golden's picture [H, W, 3] uint8.
inline std::shared_ptr<const Image> image_of(const at::Tensor& rgb) {
  auto image = std::make_shared<Image>();
  image->height = static_cast<int>(rgb.size(0));
  image->width = static_cast<int>(rgb.size(1));
  const auto* bytes = rgb.const_data_ptr<std::uint8_t>();
  image->rgb.assign(bytes, bytes + rgb.numel());
  return image;
}

/// A tiny random model of tests/golden/runs, on a GPU.
inline std::shared_ptr<Components> components_on_gpu(const std::string& name,
                                                     const std::string& dtype) {
  ExecutionRequest execution;
  execution.device = "cuda";
  execution.dtype = dtype;
  return open_components(open_model(test_file("golden/runs/" + name)), execution);
}

/// A model folder in fp32 on the CPU; threads as ExecutionRequest has them.
inline std::shared_ptr<Components> open_fp32(const std::filesystem::path& folder, int threads = 0) {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  execution.threads = threads;
  return open_components(open_model(folder), execution);
}

/// A tiny random model of tests/golden/runs, in fp32 on the CPU.
inline std::shared_ptr<Components> tiny_components(const std::string& name, int threads = 0) {
  return open_fp32(test_file("golden/runs/" + name), threads);
}

inline Pipeline open_tiny(const std::string& name) { return Pipeline(tiny_components(name)); }

/// The pictures of a request, in order.
inline std::vector<ImageResult> run(Pipeline& pipeline, const Request& request) {
  std::vector<ImageResult> results;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&& result) { results.push_back(std::move(result)); };
  pipeline.run(pipeline.plan(request), callbacks);
  return results;
}

/// The final latents of a request's pictures, [N, C, h, w].
inline at::Tensor latents_of(Pipeline& pipeline, const Request& request) {
  std::vector<at::Tensor> latents;
  for (const ImageResult& result : run(pipeline, request)) {
    latents.push_back(latents_to_tensor(result.latents, 0, 1));
  }
  return at::cat(latents);
}

/// What the cases of most goldens of whole runs say.
inline Request request_of_case(const nlohmann::json& described) {
  Request request;
  request.prompt = described.at("prompt");
  request.negative_prompt = described.value("negative_prompt", "");
  request.num_inference_steps = described.at("num_inference_steps");
  request.guidance_scale = described.at("guidance_scale");
  request.sampler = described.at("sampler");
  request.seed = described.at("seed");
  request.num_images = described.value("num_images", 1);
  request.width = described.value("width", 64);
  request.height = described.value("height", 64);
  return request;
}

/// The largest difference in a channel of two pictures; 256 where their sizes differ.
inline int largest_difference(const Image& a, const Image& b) {
  if (a.rgb.size() != b.rgb.size()) return 256;
  int most = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) {
    most = std::max(most, std::abs(a.rgb[i] - b.rgb[i]));
  }
  return most;
}

}  // namespace ldm::test
