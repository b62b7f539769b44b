#include "ldm/loading/load_module.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <limits>
#include <map>

#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/io/safetensors.h"
#include "ldm/io/weights_index.h"
#include "ldm/nn/layers.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

struct Small : torch::nn::Module {
  Small() {
    linear = register_module("linear", nn::Linear(6, 4));
    conv = register_module("conv", nn::Conv2d(3, 2, 3));
  }
  nn::Linear linear{nullptr};
  nn::Conv2d conv{nullptr};
};

using Tensors = std::map<std::string, at::Tensor>;

Tensors complete(at::ScalarType dtype) {
  ImageRandom random(1);
  Tensors tensors;
  tensors["linear.weight"] = random.randn({4, 6}).to(dtype);
  tensors["linear.bias"] = random.randn({4}).to(dtype);
  tensors["conv.weight"] = random.randn({2, 3, 3, 3}).to(dtype);
  tensors["conv.bias"] = random.randn({2}).to(dtype);
  return tensors;
}

WeightFiles write(const test::TempDir& dir, const Tensors& tensors) {
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : tensors) {
    const DType dtype = tensor.scalar_type() == at::kFloat  ? DType::F32
                        : tensor.scalar_type() == at::kHalf ? DType::F16
                                                            : DType::BF16;
    data.push_back({name,
                    dtype,
                    tensor.sizes().vec(),
                    {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  write_safetensors(dir / "model.safetensors", data, {}, IfExists::kReplace);
  return WeightFiles::open(dir.path(), "model");
}

const KeyMap& plain() { return key_map("unet"); }

Error error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return Error::internal("");
}

}  // namespace

TEST_CASE("weights of every stored format arrive in the wanted one, convolutions channels_last") {
  for (const at::ScalarType stored : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const at::ScalarType wanted : {at::kFloat, at::kHalf, at::kBFloat16}) {
      const test::TempDir dir;
      const Tensors tensors = complete(stored);
      const WeightFiles files = write(dir, tensors);
      Small module;
      Execution execution;
      execution.dtype = wanted;
      execution.memory_format = c10::MemoryFormat::ChannelsLast;
      execution.threads = 2;
      load_weights(files, bind_weights(module, files, plain()), execution);
      for (const auto& item : module.named_parameters()) {
        INFO(item.key());
        CHECK(item.value().scalar_type() == wanted);
        CHECK(at::equal(item.value(), tensors.at(item.key()).to(wanted)));
      }
      CHECK(module.conv->weight.is_contiguous(c10::MemoryFormat::ChannelsLast));
    }
  }
}

TEST_CASE("missing, unexpected and mis-shaped tensors are all told at once") {
  const test::TempDir dir;
  Tensors tensors = complete(at::kFloat);
  tensors.erase("linear.bias");
  tensors["surplus"] = tensors["conv.bias"];
  tensors["conv.weight"] = ImageRandom(2).randn({2, 3, 1, 1});
  const WeightFiles files = write(dir, tensors);
  const Small module;
  const WeightBinding binding = bind_weights(module, files, plain());
  CHECK(!binding.complete());
  CHECK(binding.problems("unet") ==
        "unet: 1 missing: linear.bias [4]; 1 unexpected: surplus [2]; "
        "1 mis-shaped: conv.weight expected [2, 3, 3, 3] found [2, 3, 1, 1]");
}

TEST_CASE("a linear layer may be stored as a 1x1 convolution") {
  const test::TempDir dir;
  Tensors tensors = complete(at::kFloat);
  tensors["linear.weight"] = tensors["linear.weight"].view({4, 6, 1, 1});
  const WeightFiles files = write(dir, tensors);
  Small module;
  const WeightBinding binding = bind_weights(module, files, plain());
  REQUIRE(binding.complete());
  load_weights(files, binding, Execution{});
  CHECK(at::equal(module.linear->weight, tensors["linear.weight"].view({4, 6})));
}

TEST_CASE("NaN and Inf in weights are a model error that names the tensor") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    const test::TempDir dir;
    Tensors tensors = complete(at::kFloat);
    tensors["conv.weight"].view({-1})[5] = bad;
    const WeightFiles files = write(dir, tensors);
    Small module;
    const Error error =
        error_of([&] { load_weights(files, bind_weights(module, files, plain()), Execution{}); });
    CHECK(error.exit_code() == 4);
    CHECK_THAT(error.message(), Contains("conv.weight") && Contains("1 NaN or Inf"));
  }
}

TEST_CASE("unloading makes placeholders again, and weights can come back") {
  const test::TempDir dir;
  const Tensors tensors = complete(at::kFloat);
  const WeightFiles files = write(dir, tensors);
  Small module;
  const WeightBinding binding = bind_weights(module, files, plain());
  load_weights(files, binding, Execution{});
  unload_weights(module);
  CHECK(nn::is_unallocated(module.linear->weight));
  load_weights(files, binding, Execution{});
  CHECK(at::equal(module.linear->weight, tensors.at("linear.weight")));
}

}  // namespace ldm
