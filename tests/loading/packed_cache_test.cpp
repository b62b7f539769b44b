#include "ldm/loading/packed_cache.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <c10/core/GradMode.h>

#include <filesystem>
#include <fstream>

#include "ldm/core/device.h"
#include "ldm/kernels/onednn.h"
#include "ldm/nn/pack.h"
#include "ldm/nn/unet_2d_blocks.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

/// Every kind of layer that packing changes.
nn::DownBlock2D make_block() {
  nn::UNetBlockOptions options;
  options.in_channels = 32;
  options.out_channels = 64;
  options.temb_channels = 48;
  options.num_layers = 1;
  options.resnet_groups = 8;
  options.attention = nn::BlockAttention::kCross;
  options.num_attention_heads = 2;
  options.cross_attention_dim = 24;
  options.add_sampler = true;
  return nn::DownBlock2D(options);
}

void fill(torch::nn::Module& module, at::ScalarType dtype) {
  const c10::AutoGradMode no_grad(false);
  std::uint64_t seed = 1;
  for (at::Tensor& parameter : module.parameters()) {
    parameter.set_data((0.2 * test::seeded_randn(parameter.sizes(), seed++)).to(dtype));
  }
}

at::Tensor output(const nn::DownBlock2D& block, at::ScalarType dtype) {
  const c10::AutoGradMode no_grad(false);
  const auto draw = [dtype](at::IntArrayRef shape, std::uint64_t seed) {
    return test::seeded_randn(shape, seed).to(dtype);
  };
  return block
      ->forward(draw({2, 32, 8, 8}, 90).contiguous(at::MemoryFormat::ChannelsLast),
                draw({2, 48}, 91), draw({2, 7, 24}, 92))
      .back();
}

PackedCache::Key key_of(at::ScalarType dtype) {
  PackedCache::Key key{"unet", std::string(64, 'b'), "DownBlock2D {}", {}};
  key.execution.dtype = dtype;
  return key;
}

fs::path only_entry(const fs::path& folder) {
  return fs::directory_iterator(fs::directory_iterator(folder)->path())->path();
}

}  // namespace

TEST_CASE("packed weights come back as they were kept, from shared memory") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const bool int8 = GENERATE(false, true);
  if (dtype == at::kBFloat16 && !cpu_has_native_bf16()) return;
  const test::TempDir dir;
  const PackedCache cache(dir.path() / "packed");
  PackedCache::Key key = key_of(dtype);
  key.execution.eight_bit = int8;
  nn::DownBlock2D first = make_block();
  if (int8) nn::prefer_eight_bit(*first);
  CHECK(cache.restore(*first, key).memory == nullptr);
  fill(*first, dtype);
  nn::pack_for_inference(*first);
  cache.keep(*first, key, true);
  const at::Tensor expected = output(first, dtype);

  nn::DownBlock2D again = make_block();
  if (int8) nn::prefer_eight_bit(*again);
  const PackedCache::Restored restored = cache.restore(*again, key);
  REQUIRE(restored.memory != nullptr);
  CHECK(restored.vouched);
  const auto bytes = restored.memory->bytes();
  std::size_t inside = 0;
  for (const auto& [name, tensor] : nn::packed_tensors(*again)) {
    INFO(name);
    const void* data =
        tensor.is_mkldnn() ? onednn_parts(tensor).memory.data() : tensor.const_data_ptr();
    CHECK((data >= bytes.data() && data < bytes.data() + bytes.size()));
    ++inside;
  }
  CHECK(inside > 20);
  CHECK(at::equal(output(again, dtype), expected));
  // Another size of input packs its convolutions again.
  CHECK(at::equal(output(again, dtype), expected));

  PackedCache::Key other = key;
  other.network = "DownBlock2D {1}";
  CHECK(cache.restore(*make_block(), other).memory == nullptr);
  other = key;
  other.execution.eight_bit = !int8;
  CHECK(cache.restore(*make_block(), other).memory == nullptr);
  other = key;
  other.sha256[0] = 'c';
  CHECK(cache.restore(*make_block(), other).memory == nullptr);
  CHECK(PackedCache().restore(*make_block(), key).memory == nullptr);
}

TEST_CASE("what is kept replaces what was kept of the same component before") {
  const test::TempDir dir;
  const PackedCache cache(dir.path() / "packed");
  nn::DownBlock2D block = make_block();
  fill(*block, at::kFloat);
  nn::pack_for_inference(*block);
  PackedCache::Key key = key_of(at::kFloat);
  cache.keep(*block, key, false);
  key.network = "another";
  cache.keep(*block, key, false);
  CHECK(std::distance(fs::recursive_directory_iterator(dir.path() / "packed"),
                      fs::recursive_directory_iterator()) == 2);
  const PackedCache::Restored restored = cache.restore(*make_block(), key);
  CHECK(restored.memory != nullptr);
  CHECK_FALSE(restored.vouched);
}

TEST_CASE("a damaged file of packed weights is not used") {
  const test::TempDir dir;
  const PackedCache cache(dir.path() / "packed");
  nn::DownBlock2D block = make_block();
  fill(*block, at::kFloat);
  nn::pack_for_inference(*block);
  const PackedCache::Key key = key_of(at::kFloat);
  cache.keep(*block, key, true);
  const fs::path entry = only_entry(dir.path() / "packed");
  const std::string whole = test::slurp(entry);
  std::string other_format = whole;
  other_format.replace(other_format.find("ldm-packed-1"), 12, "ldm-packed-9");
  for (const std::string& damaged :
       {std::string(), whole.substr(0, 5), whole.substr(0, 3000), whole.substr(0, whole.size() / 2),
        std::string(200, '\xff'), other_format}) {
    std::ofstream(entry, std::ios::trunc | std::ios::binary) << damaged;
    INFO(damaged.size());
    CHECK(cache.restore(*make_block(), key).memory == nullptr);
  }
}

TEST_CASE("a folder for packed weights that cannot be made is no error") {
  const test::TempDir dir;
  const PackedCache cache(dir.write("file", "x") / "packed");
  nn::DownBlock2D block = make_block();
  fill(*block, at::kFloat);
  nn::pack_for_inference(*block);
  cache.keep(*block, key_of(at::kFloat), true);
  CHECK(cache.restore(*make_block(), key_of(at::kFloat)).memory == nullptr);
}

}  // namespace ldm
