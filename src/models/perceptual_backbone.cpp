#include "ldm/models/perceptual_backbone.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

struct NetName {
  PerceptualNet net;
  std::string_view name;
};
constexpr std::array<NetName, 4> kNames = {{{PerceptualNet::kVgg, "vgg"},
                                            {PerceptualNet::kAlex, "alex"},
                                            {PerceptualNet::kSqueeze, "squeeze"},
                                            {PerceptualNet::kVgg, "vgg16"}}};

}  // namespace

std::string_view perceptual_net_name(PerceptualNet net) {
  return std::find_if(kNames.begin(), kNames.end(),
                      [net](const NetName& row) { return row.net == net; })
      ->name;
}

PerceptualNet parse_perceptual_net(const std::string& word) {
  for (const NetName& row : kNames) {
    if (row.name == word) return row.net;
  }
  throw Error::usage(cat("no perceptual network \"", word, "\""), "one of vgg, alex, squeeze");
}

FireImpl::FireImpl(std::int64_t in_channels, std::int64_t squeeze_channels,
                   std::int64_t expand_channels) {
  squeeze = register_module("squeeze", nn::Conv2d(in_channels, squeeze_channels, 1));
  expand1x1 = register_module("expand1x1", nn::Conv2d(squeeze_channels, expand_channels, 1));
  expand3x3 = register_module("expand3x3", nn::Conv2d(squeeze_channels, expand_channels, 3, 1, 1));
}

at::Tensor FireImpl::forward(const at::Tensor& x) const {
  const at::Tensor squeezed = at::relu(squeeze->forward(x));
  return at::relu(at::cat({expand1x1->forward(squeezed), expand3x3->forward(squeezed)}, 1));
}

PerceptualBackboneImpl::PerceptualBackboneImpl(PerceptualNet which) : net(which) {
  features = register_module("features", std::make_shared<nn::Sequence>());
  switch (net) {
    case PerceptualNet::kVgg:
      build_vgg();
      break;
    case PerceptualNet::kAlex:
      build_alex();
      break;
    case PerceptualNet::kSqueeze:
      build_squeeze();
      break;
  }
}

void PerceptualBackboneImpl::conv_relu(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                       std::int64_t stride, std::int64_t padding) {
  features->append(nn::Conv2d(in, out, kernel, stride, padding));
  features->append_function([](const at::Tensor& x) { return at::relu(x); });
}

void PerceptualBackboneImpl::max_pool(std::int64_t kernel, bool ceil_mode) {
  features->append_function([kernel, ceil_mode](const at::Tensor& x) {
    return at::max_pool2d(x, {kernel, kernel}, {2, 2}, {0, 0}, {1, 1}, ceil_mode);
  });
}

void PerceptualBackboneImpl::end_stage(std::int64_t stage_channels) {
  channels.push_back(stage_channels);
  ends_.push_back(features->size());
}

void PerceptualBackboneImpl::build_vgg() {
  constexpr std::array<std::array<std::int64_t, 2>, 5> kStages = {
      {{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}};
  std::int64_t in = 3;
  for (const auto& [layers, width] : kStages) {
    if (!ends_.empty()) max_pool(2);
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      conv_relu(in, width, 3, 1, 1);
      in = width;
    }
    end_stage(width);
  }
  min_side = 16;
}

void PerceptualBackboneImpl::build_alex() {
  conv_relu(3, 64, 11, 4, 2);
  end_stage(64);
  max_pool(3);
  conv_relu(64, 192, 5, 1, 2);
  end_stage(192);
  max_pool(3);
  conv_relu(192, 384, 3, 1, 1);
  end_stage(384);
  conv_relu(384, 256, 3, 1, 1);
  end_stage(256);
  conv_relu(256, 256, 3, 1, 1);
  end_stage(256);
  min_side = 31;
}

void PerceptualBackboneImpl::build_squeeze() {
  conv_relu(3, 64, 3, 2, 0);
  end_stage(64);
  max_pool(3, true);
  features->append(Fire(64, 16, 64));
  features->append(Fire(128, 16, 64));
  end_stage(128);
  max_pool(3, true);
  features->append(Fire(128, 32, 128));
  features->append(Fire(256, 32, 128));
  end_stage(256);
  max_pool(3, true);
  std::int64_t in = 256;
  for (const std::int64_t width : {48, 48, 64, 64}) {
    features->append(Fire(in, width, 4 * width));
    in = 8 * width;
    end_stage(in);
  }
  min_side = 17;
}

std::vector<at::Tensor> PerceptualBackboneImpl::forward(const at::Tensor& x) const {
  if (x.dim() != 4 || x.size(1) != 3 || std::min(x.size(2), x.size(3)) < min_side) {
    throw Error::input(cat("LPIPS with ", perceptual_net_name(net), " needs RGB pictures of at ",
                           "least ", min_side, " pixels a side"),
                       "use larger pictures or another network");
  }
  std::vector<at::Tensor> stages;
  at::Tensor hidden = x;
  std::size_t begin = 0;
  for (const std::size_t end : ends_) {
    hidden = features->forward_range(hidden, begin, end);
    stages.push_back(hidden);
    begin = end;
  }
  return stages;
}

}  // namespace ldm::models
