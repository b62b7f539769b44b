#include "ldm/nn/pack.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "ldm/core/random.h"
#include "ldm/kernels/fp8_linear.h"
#include "ldm/kernels/int8_linear.h"
#include "ldm/nn/attention.h"
#include "ldm/nn/feed_forward.h"
#include "ldm/nn/layers.h"
#include "ldm/nn/resnet.h"
#include "ldm/nn/transformer_2d.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

namespace ldm::nn {
namespace {

void fill(torch::nn::Module& module) {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(3);
  for (at::Tensor& parameter : module.parameters()) {
    parameter.set_data(random.randn(parameter.sizes()));
  }
}

/// Memory of this process that is in use now.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("unallocated parameters have a shape and next to no memory") {
  const Linear layer(4096, 4096);
  CHECK(is_unallocated(layer->weight));
  CHECK(layer->weight.sizes() == at::IntArrayRef({4096, 4096}));
  CHECK(layer->weight.storage().nbytes() <= 64);
}

TEST_CASE("packing keeps the output, lets the plain weight go, and can be undone") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(4);
  Linear linear(33, 65);
  Conv2d conv(7, 12, 3, 2, 1);
  fill(*linear);
  fill(*conv);
  const at::Tensor x = random.randn({2, 9, 33});
  const at::Tensor image = random.randn({2, 7, 10, 11}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor plain_linear = linear->forward(x);
  const at::Tensor plain_conv = conv->forward(image);
  pack_for_inference(*linear);
  pack_for_inference(*conv);
  CHECK(is_unallocated(linear->weight));
  test::expect_close(linear->forward(x), plain_linear, 1e-5);
  test::expect_close(conv->forward(image), plain_conv, 1e-5);
  CHECK(is_unallocated(conv->weight));
  test::expect_close(conv->forward(image.narrow(2, 0, 6)), plain_conv.narrow(2, 0, 3), 1e-5);
  test::expect_close(conv->forward(image), plain_conv, 1e-5);
  unpack(*linear);
  fill(*linear);
  test::expect_close(linear->forward(x), plain_linear, 1e-5);
}

TEST_CASE("a packed attention keeps its output, over itself and over a text") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(5);
  AttentionOptions options;
  options.query_dim = 48;
  options.heads = 3;
  options.dim_head = 20;
  options.cross_attention_dim = GENERATE(0, 24);
  Attention layer(options);
  fill(*layer);
  const at::Tensor x = random.randn({2, 50, 48});
  const at::Tensor text =
      options.cross_attention_dim == 0 ? at::Tensor() : random.randn({2, 77, 24});
  const at::Tensor plain = layer->forward(x, text);
  pack_for_inference(*layer);
  test::expect_close(layer->forward(x, text), plain, 1e-5);
}

TEST_CASE("a packed attention projects a text once, and again when another comes") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(7);
  AttentionOptions options;
  options.query_dim = 32;
  options.heads = 2;
  options.dim_head = 16;
  options.cross_attention_dim = 24;
  Attention layer(options);
  fill(*layer);
  const at::Tensor x = random.randn({2, 10, 32});
  const at::Tensor texts = random.randn({3, 77, 24});
  const at::Tensor first = texts.narrow(0, 0, 2), second = texts.narrow(0, 1, 2);
  const at::Tensor plain_first = layer->forward(x, first);
  const at::Tensor plain_second = layer->forward(x, second);
  pack_for_inference(*layer);
  const at::Tensor once = layer->forward(x, first);
  CHECK(at::equal(layer->forward(x, texts.narrow(0, 0, 2)), once));
  test::expect_close(once, plain_first, 1e-5);
  test::expect_close(layer->forward(x, second), plain_second, 1e-5);
  CHECK(at::equal(layer->forward(x, first), once));
  unpack(*layer);
  fill(*layer);
  test::expect_close(layer->forward(x, first), plain_first, 1e-5);
}

TEST_CASE("a packed feed-forward layer keeps its output") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(6);
  FeedForward layer(40);
  fill(*layer);
  const at::Tensor x = random.randn({2, 33, 40});
  const at::Tensor plain = layer->forward(x);
  pack_for_inference(*layer);
  CHECK(is_unallocated(layer->geglu->proj->weight));
  test::expect_close(layer->forward(x), plain, 1e-5);
}

TEST_CASE("transformer blocks packed in 8 bits stay near their output, and nothing else changes") {
  const c10::AutoGradMode no_grad(false);
  if (!int8_serves(at::zeros({16, 16}))) return;
  ImageRandom random(12);
  Transformer2DOptions options;
  options.in_channels = 64;
  options.num_attention_heads = 4;
  options.attention_head_dim = 16;
  options.norm_num_groups = 8;
  options.cross_attention_dim = 32;
  options.use_linear_projection = GENERATE(false, true);
  Transformer2DModel layer(options);
  fill(*layer);
  const at::Tensor x = random.randn({2, 64, 6, 7}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor text = random.randn({2, 9, 32});
  const at::Tensor plain = layer->forward(x, text);
  prefer_eight_bit(*layer);
  pack_for_inference(*layer);
  const at::Tensor packed = layer->forward(x, text);
  CHECK_FALSE(at::equal(packed, plain));
  // Rounding to 8 bits takes about a hundredth at every layer, and there are eight in a row.
  CHECK(((packed - plain).norm() / plain.norm()).item<double>() < 0.05);
  CHECK(packed.is_contiguous(at::MemoryFormat::ChannelsLast));
  std::int64_t in_8_bits = 0;
  for (const auto& [name, tensor] : packed_tensors(*layer)) {
    INFO(name);
    if (tensor.scalar_type() == at::kByte) ++in_8_bits;
    if (name.find("attn2.to_k") != std::string::npos) CHECK(tensor.is_mkldnn());
  }
  // proj_in, joined queries, keys and values, to_out, to_q, to_out, GEGLU, feed-forward, proj_out.
  CHECK(in_8_bits == 8);
  unpack(*layer);
  fill(*layer);
  test::expect_close(layer->forward(x, text), plain, 1e-5);

  ResnetBlock2DOptions resnet_options;
  resnet_options.in_channels = 32;
  resnet_options.out_channels = 64;
  ResnetBlock2D resnet(resnet_options);
  prefer_eight_bit(*resnet);
  fill(*resnet);
  pack_for_inference(*resnet);
  for (const auto& [name, tensor] : packed_tensors(*resnet)) {
    CHECK_FALSE(name.ends_with("int8"));
  }
}

TEST_CASE("on a GPU transformer blocks packed in 8 bits stay near their output", "[gpu]") {
  if (!test::has_gpu()) return;
  const c10::AutoGradMode no_grad(false);
  const c10::Device gpu(c10::DeviceType::CUDA, 0);
  if (!fp8_serves(at::zeros({1280, 1280}, at::TensorOptions(at::kHalf).device(gpu)))) return;
  Transformer2DOptions options;
  options.in_channels = 1280;
  options.num_attention_heads = 8;
  options.attention_head_dim = 160;
  options.cross_attention_dim = 768;
  options.use_linear_projection = GENERATE(false, true);
  Transformer2DModel layer(options);
  const auto fill_on_gpu = [&](bool eight_bit) {
    unpack(*layer);
    ImageRandom random(13);
    for (at::Tensor& parameter : layer->parameters()) {
      const double scale =
          parameter.dim() > 1 ? 1.0 / std::sqrt(static_cast<double>(parameter.size(1))) : 0.5;
      parameter.set_data((random.randn(parameter.sizes()) * scale).to(gpu, at::kHalf));
    }
    if (eight_bit) prefer_eight_bit(*layer);
    pack_for_inference(*layer);
    // As a model does whose parts are packed as they come.
    pack_for_inference(*layer);
  };
  ImageRandom random(14);
  const at::Tensor x =
      random.randn({2, 1280, 16, 15}).to(gpu, at::kHalf).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor text = random.randn({2, 77, 768}).to(gpu, at::kHalf);
  fill_on_gpu(false);
  const at::Tensor plain = layer->forward(x, text).to(at::kFloat);
  fill_on_gpu(true);
  const at::Tensor packed = layer->forward(x, text);
  CHECK(packed.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK_FALSE(at::equal(packed.to(at::kFloat), plain));
  // Rounding to e4m3 takes about a 27th at every layer, and four of them follow each other.
  const at::Tensor error = packed.to(at::kFloat) - plain, added = plain - x;
  CHECK((error.norm() / added.norm()).item<double>() < 0.15);
  // Joined queries, keys and values; queries of the text's attention; both of the feed-forward.
  std::int64_t in_8_bits = 0;
  for (const auto& [name, tensor] : packed_tensors(*layer)) {
    if (tensor.scalar_type() == at::kFloat8_e4m3fn) ++in_8_bits;
  }
  CHECK(in_8_bits == 4);
  CHECK_FALSE(is_unallocated((*layer->transformer_blocks)[0]->attn2->to_k->weight));
}

TEST_CASE("a packed ResnetBlock2D keeps its output with its norms and SiLU in one pass") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(7);
  ResnetBlock2DOptions options;
  options.in_channels = 32;
  options.out_channels = 64;
  options.temb_channels = 20;
  options.groups = 8;
  options.time_embedding_norm = GENERATE("default", "scale_shift");
  ResnetBlock2D layer(options);
  fill(*layer);
  const at::Tensor x = random.randn({2, 32, 9, 7}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor temb = random.randn({2, 20});
  const at::Tensor plain = layer->forward(x, temb);
  pack_for_inference(*layer);
  test::expect_close(layer->forward(x, temb), plain, 1e-5);
}

TEST_CASE("a packed 3x3 convolution keeps its output, with and without an addend") {
  const c10::AutoGradMode no_grad(false);
  ImageRandom random(8);
  Conv2d conv(32, 48, 3, 1, 1);
  fill(*conv);
  const at::Tensor x = random.randn({2, 32, 9, 7}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor addend = random.randn({2, 48, 9, 7});
  const at::Tensor plain = conv->forward(x), sum = conv->forward_add(x, addend);
  CHECK(sum.equal(addend + plain));
  pack_for_inference(*conv);
  CHECK(is_unallocated(conv->weight));
  // Packing the whole after its parts finds nothing left to do.
  pack_for_inference(*conv);
  test::expect_close(conv->forward(x), plain, 1e-5);
  test::expect_close(conv->forward_add(x, addend), sum, 1e-5);
  unpack(*conv);
  fill(*conv);
  CHECK(conv->forward(x).equal(plain));
}

TEST_CASE("packing again and again for other sizes takes no more memory") {
  ImageRandom random(5);
  Conv2d conv(512, 512, 3, 2, 1);
  fill(*conv);
  const double weight_bytes = 512.0 * 512 * 9 * sizeof(float);
  pack_for_inference(*conv);
  const c10::InferenceMode inference;
  const at::Tensor one = random.randn({1, 512, 8, 8}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor two = random.randn({2, 512, 8, 8}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto run = [&](int times) {
    for (int i = 0; i < times; ++i) {
      conv->forward(one);
      conv->forward(two);
    }
  };
  run(2);
  const double before = resident_bytes();
  run(10);
  CHECK(resident_bytes() - before < 4 * weight_bytes);
}

}  // namespace ldm::nn
