#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ldm/io/image.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
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

/// A tiny random model of tests/golden/runs, in fp32 on the CPU.
inline Pipeline open_tiny(const std::string& name) {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  return Pipeline(open_components(open_model(test_file("golden/runs/" + name)), execution));
}

/// The pictures of a request, in order.
inline std::vector<ImageResult> run(Pipeline& pipeline, const Request& request) {
  std::vector<ImageResult> results;
  RunCallbacks callbacks;
  callbacks.on_image = [&](ImageResult&& result) { results.push_back(std::move(result)); };
  pipeline.run(pipeline.plan(request), callbacks);
  return results;
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
