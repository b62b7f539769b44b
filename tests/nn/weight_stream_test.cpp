#include "ldm/nn/weight_stream.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <set>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/nn/module_list.h"
#include "ldm/nn/pack.h"
#include "ldm/nn/resnet.h"
#include "ldm/nn/transformer_2d.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

namespace ldm::nn {
namespace {

/// Blocks as a UNet has them, all of the same number of channels.
struct Blocks : torch::nn::Module {
  explicit Blocks(std::int64_t channels) {
    resnets = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
    attentions = register_module("attentions", std::make_shared<ModuleList<Transformer2DModel>>());
    ResnetBlock2DOptions resnet;
    resnet.in_channels = channels;
    resnet.temb_channels = 20;
    resnet.groups = 8;
    Transformer2DOptions transformer;
    transformer.in_channels = channels;
    transformer.num_attention_heads = channels / 16;
    transformer.attention_head_dim = 16;
    transformer.cross_attention_dim = 24;
    transformer.norm_num_groups = 8;
    for (int i = 0; i < 3; ++i) {
      resnets->append(ResnetBlock2D(resnet));
      transformer.use_linear_projection = i == 1;
      attentions->append(Transformer2DModel(transformer));
    }
    test::fill_reference_weights(*this);
  }

  /// Block `number`: resnet, transformer, resnet, and so on.
  at::Tensor forward(std::size_t number, const at::Tensor& x, const at::Tensor& temb,
                     const at::Tensor& text) const {
    return number % 2 == 0 ? (*resnets)[number / 2]->forward(x, temb)
                           : (*attentions)[number / 2]->forward(x, text);
  }

  at::Tensor forward(const std::vector<std::size_t>& order, at::Tensor x, const at::Tensor& temb,
                     const at::Tensor& text) const {
    for (const std::size_t number : order) x = forward(number, x, temb, text);
    return x;
  }

  void stream(WeightStream& stream) {
    for (const ResnetBlock2D& block : *resnets) stream.adopt(*block.ptr());
    for (const Transformer2DModel& block : *attentions) stream.adopt(*block.ptr());
  }

  std::shared_ptr<ModuleList<ResnetBlock2D>> resnets;
  std::shared_ptr<ModuleList<Transformer2DModel>> attentions;
};

/// Rounds of a denoiser, some of which leave blocks out, take them in another order or again.
const std::vector<std::vector<std::size_t>> kRounds = {
    {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {5, 3, 1, 0, 2, 4}, {0, 2, 3, 5},
    {4, 4, 5, 5, 4},    {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}};

struct Inputs {
  at::Tensor x, temb, text;
};

Inputs inputs(std::int64_t channels, std::int64_t side, at::TensorOptions options) {
  const at::Tensor x = test::seeded_randn({2, channels, side, side}, 1);
  return {x.to(options).contiguous(at::MemoryFormat::ChannelsLast),
          test::seeded_randn({2, 20}, 2).to(options),
          test::seeded_randn({2, 9, 24}, 3).to(options)};
}

std::vector<at::Tensor> outputs(const Blocks& blocks, const Inputs& in) {
  const c10::InferenceMode inference;
  std::vector<at::Tensor> all;
  for (const auto& order : kRounds) all.push_back(blocks.forward(order, in.x, in.temb, in.text));
  return all;
}

void check_equal(const std::vector<at::Tensor>& actual, const std::vector<at::Tensor>& expected) {
  for (std::size_t round = 0; round < expected.size(); ++round) {
    CAPTURE(round);
    CHECK(actual[round].equal(expected[round]));
  }
}

/// Convolutions' weights as a GPU has them.
void to_channels_last(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : module.parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
}

}  // namespace

TEST_CASE("streamed blocks compute what they compute with weights that stay, in any order") {
  constexpr std::int64_t kChannels = 32;
  const auto blocks = std::make_shared<Blocks>(kChannels);
  to_channels_last(*blocks);
  const Inputs in = inputs(kChannels, 6, at::kFloat);
  const std::vector<at::Tensor> expected = outputs(*blocks, in);
  const std::int64_t slot = streamed_bytes(*blocks, at::kFloat).largest;
  WeightStream stream(c10::kCPU, slot);
  blocks->stream(stream);
  check_equal(outputs(*blocks, in), expected);
  check_equal(outputs(*blocks, in), expected);

  std::set<const c10::StorageImpl*> slots;
  for (const auto& item : blocks->named_parameters()) {
    const c10::Storage& storage = item.value().storage();
    if (item.key().find("time_emb_proj") != std::string::npos) {
      CHECK(storage.nbytes() == item.value().nbytes());
      continue;
    }
    CHECK(static_cast<std::int64_t>(storage.nbytes()) == slot);
    slots.insert(storage.unsafeGetStorageImpl());
  }
  CHECK(slots.size() == 2);
}

TEST_CASE("bytes of streamed modules are counted before their weights are there") {
  ResnetBlock2DOptions options;
  options.in_channels = 32;
  options.temb_channels = 0;
  auto list = std::make_shared<ModuleList<ResnetBlock2D>>();
  list->append(ResnetBlock2D(options));
  options.out_channels = 64;
  list->append(ResnetBlock2D(options));
  // Two norms of weight and bias, two convolutions and a shortcut; parts of at least 256 bytes.
  const std::int64_t small = 4 * 256 + 2 * (2 * 32 * 32 * 9 + 256);
  const std::int64_t large = 4 * 256 + 2 * (64 * 32 * 9 + 64 * 64 * 9 + 64 * 32) + 3 * 256;
  const StreamedBytes bytes = streamed_bytes(*list, at::kHalf);
  CHECK(bytes.largest == large);
  CHECK(bytes.all == small + large);
}

TEST_CASE("a module that fits no slot is refused, and a stream that is gone asked for nothing") {
  const auto blocks = std::make_shared<Blocks>(32);
  {
    WeightStream small(c10::kCPU, 1024);
    CHECK_THROWS_AS(small.adopt(*(*blocks->resnets)[0].ptr()), Error);
  }
  const Inputs in = inputs(32, 6, at::kFloat);
  const std::vector<at::Tensor> expected = outputs(*blocks, in);
  {
    WeightStream stream(c10::kCPU, streamed_bytes(*blocks, at::kFloat).largest);
    blocks->stream(stream);
  }
  CHECK((*blocks->resnets)[0]->stream == nullptr);
  test::fill_reference_weights(*blocks);
  check_equal(outputs(*blocks, in), expected);
}

TEST_CASE("a GPU's copies come before the kernels that read them, and after those that did",
          "[gpu]") {
  if (!test::has_gpu()) return;
  constexpr std::int64_t kChannels = 640;
  const c10::Device gpu(c10::DeviceType::CUDA, 0);
  const auto options = at::TensorOptions().device(gpu).dtype(at::kHalf);
  const auto blocks = std::make_shared<Blocks>(kChannels);
  blocks->to(gpu, at::kHalf);
  to_channels_last(*blocks);
  pack_for_inference(*blocks);
  // Small pictures are computed before the next weights are there, large ones after.
  for (const std::int64_t side : {8, 64}) {
    const Inputs in = inputs(kChannels, side, options);
    const std::vector<at::Tensor> expected = outputs(*blocks, in);
    const auto streamed = std::make_shared<Blocks>(kChannels);
    streamed->to(gpu, at::kHalf);
    to_channels_last(*streamed);
    pack_for_inference(*streamed);
    WeightStream stream(gpu, streamed_bytes(*streamed, at::kHalf).largest);
    streamed->stream(stream);
    for (int again = 0; again < 3; ++again) check_equal(outputs(*streamed, in), expected);
  }
}

}  // namespace ldm::nn
