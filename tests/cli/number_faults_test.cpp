// NaN and Inf: in weights they are a model fault (4), in what is computed a fault of its own (7),
// and never a black picture.
#include <limits>
#include <span>

#include "ldm/io/safetensors.h"
#include "ldm/io/safetensors_writer.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnet = "unet/diffusion_pytorch_model.fp16.safetensors";
constexpr const char* kVae = "vae/diffusion_pytorch_model.safetensors";
constexpr const char* kText = "text_encoder/model.safetensors";

/// A copy of the tiny model in which every value of one tensor is `value`.
fs::path model_with(const TempDir& dir, const char* file, const std::string& tensor, float value) {
  const fs::path model = linked_model(dir, tiny_model());
  const SafetensorsFile source(model / file);
  std::vector<std::vector<std::byte>> contents;
  std::vector<TensorData> tensors;
  const TensorInfo* spoilt = source.find(tensor);
  REQUIRE(spoilt != nullptr);
  for (const TensorInfo& info : source.header().tensors) {
    contents.emplace_back(info.byte_size());
    source.read(info, contents.back());
    if (info.name != tensor) continue;
    REQUIRE(info.dtype == DType::F16);
    const std::vector<float> values(info.byte_size() / 2, value);
    const auto bytes = std::as_bytes(std::span(values));
    contents.back().assign(bytes.begin(), bytes.end());
  }
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const TensorInfo& info = source.header().tensors[i];
    const DType dtype = info.name == tensor ? DType::F32 : info.dtype;
    tensors.push_back({info.name, dtype, info.shape, contents[i]});
  }
  fs::remove(model / file);
  write_safetensors(model / file, tensors, {}, IfExists::kRefuse);
  return model;
}

ProgramResult run(const TempDir& dir, std::vector<std::string> more) {
  std::vector<std::string> args = {"-m",      "model",         "-s",        "1", "--steps", "2",
                                   "--quiet", "--no-progress", "--threads", "1"};
  args.insert(args.end(), more.begin(), more.end());
  return ldm_gen_in(dir, args);
}

TEST_CASE("NaN or Inf in weights is a model fault (4) that names the tensor") {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const TempDir dir;
    model_with(dir, kUnet, "conv_out.weight", value);
    const ProgramResult result = run(dir, {"-p", "a cat", "-o", "a.png"});
    INFO(result.err);
    CHECK(result.exit_code == 4);
    CHECK(result.err.find("ldm-gen: model: ") == 0);
    CHECK(result.err.find("conv_out.weight") != std::string::npos);
    CHECK_FALSE(fs::exists(dir / "a.png"));
  }
}

TEST_CASE("text, latents or pictures that overflow end with 7 and no picture") {
  struct Overflow {
    const char* file;
    const char* tensor;
    const char* said;
  };
  const std::vector<Overflow> cases = {
      {kText, "text_model.final_layer_norm.weight", "text embedding"},
      {kUnet, "conv_out.weight", "latents"},
      {kVae, "decoder.conv_out.weight", "picture"},
  };
  for (const Overflow& overflow : cases) {
    const TempDir dir;
    model_with(dir, overflow.file, overflow.tensor, 3e38F);
    const ProgramResult result = run(dir, {"-p", "a cat", "-o", "a.png"});
    INFO(overflow.tensor << ": " << result.err);
    CHECK(result.exit_code == 7);
    CHECK(result.out.empty());
    CHECK(result.err.find("ldm-gen: non-finite: ") == 0);
    CHECK(result.err.find(overflow.said) != std::string::npos);
    CHECK_FALSE(fs::exists(dir / "a.png"));
  }
}

TEST_CASE("in a batch they are the fault of their jobs") {
  const TempDir dir;
  model_with(dir, kUnet, "conv_out.weight", 3e38F);
  dir.write("p.txt", "a cat\na dog\n");
  CHECK(run(dir, {"--prompts", "p.txt", "--output-dir", "out"}).exit_code == 7);
  const ProgramResult kept =
      run(dir, {"--prompts", "p.txt", "--output-dir", "out", "--keep-going"});
  INFO(kept.err);
  CHECK(kept.exit_code == 8);
  CHECK(kept.err.find("p.txt:2: ") != std::string::npos);
  CHECK(files_below(dir / "out") == std::vector<std::string>{"journal.jsonl"});
  CHECK(slurp(dir / "out" / "journal.jsonl").find("\"code\":\"non-finite\"") != std::string::npos);
}

}  // namespace
}  // namespace ldm::test
