// Textual inversions in every file's form against transformers: scripts/goldens/embeddings.py.
#include "ldm/loading/embedding_file.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <limits>

#include "ldm/core/error.h"
#include "ldm/io/hash.h"
#include "ldm/io/safetensors.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

fs::path file(const std::string& name) { return test::test_file("golden/embeddings/" + name); }

std::shared_ptr<Components> open_with(const std::vector<EmbeddingChoice>& choices,
                                      const std::string& model = "sd1") {
  ExecutionRequest execution;
  execution.device = "cpu";
  execution.dtype = "fp32";
  execution.threads = 1;
  return open_components(open_model(test::test_file("golden/runs/" + model)), execution, {},
                         choices);
}

Error refused(const std::vector<EmbeddingChoice>& choices) {
  try {
    open_with(choices);
  } catch (const Error& error) {
    return error;
  }
  return Error::internal("nothing was thrown");
}

fs::path write(const test::TempDir& dir, const std::string& name,
               const std::map<std::string, at::Tensor>& tensors) {
  std::vector<TensorData> data;
  for (const auto& [key, tensor] : tensors) {
    data.push_back({key,
                    DType::F32,
                    tensor.sizes().vec(),
                    {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  write_safetensors(dir / name, data, {}, IfExists::kReplace);
  return dir / name;
}

}  // namespace

TEST_CASE("every form of a file gives its word and vectors") {
  for (const char* name : {"cat.safetensors", "cat.bin"}) {
    const LearnedEmbedding cat = read_embedding({file(name)}, 75);
    CHECK(cat.use.word == "<cat-toy>");
    CHECK(cat.use.vectors == 1);
    CHECK(cat.use.sha256 == sha256_file(file(name)));
    CHECK(at::equal(cat.vectors, test::seeded_randn({32}, 71).unsqueeze(0)));
  }
  for (const char* name : {"ink.safetensors", "ink.pt"}) {
    const LearnedEmbedding ink = read_embedding({file(name)}, 75);
    CHECK(ink.use.word == "ink");
    CHECK(at::equal(ink.vectors, test::seeded_randn({3, 32}, 72)));
  }
  CHECK(read_embedding({file("ink.pt"), "pen"}, 75).use.word == "pen");
}

TEST_CASE("prompts with learned words become the public encoder's embeddings", "[golden]") {
  const test::Golden golden("embeddings");
  const auto components = open_with({{file("cat.bin")}, {file("ink.pt")}});
  REQUIRE(components->embeddings.size() == 2);
  const PromptTokens tokens =
      components->prompts->read_plain(golden.metadata.at("prompt"), LongPrompt::kTruncate);
  const at::Tensor ids = at::tensor(tokens.ids);
  CHECK(at::equal(ids, golden.at("ids")));
  test::expect_close(components->text_encoder->get().encode(ids.unsqueeze(0), 0),
                     golden.at("embedding"), 1e-5, "embedding");
  // They stay when the weights go and come back.
  components->text_encoder->release();
  test::expect_close(components->text_encoder->get().encode(ids.unsqueeze(0), 0),
                     golden.at("embedding"), 1e-5, "embedding");
}

TEST_CASE("files that are none, of another family or given twice are refused") {
  const test::TempDir dir;
  const auto wide = write(dir, "sd2.safetensors", {{"emb_params", at::full({2, 48}, 0.5F)}});
  const Error width = refused({{wide}});
  CHECK(width.exit_code() == 4);
  CHECK_THAT(width.message(), Contains("sd2.safetensors: its vectors are 48 wide, this text "
                                       "encoder's 32"));
  const auto xl =
      write(dir, "xl.safetensors",
            {{"clip_g", at::full({1, 1280}, 0.5F)}, {"clip_l", at::full({1, 768}, 0.5F)}});
  CHECK_THAT(refused({{xl}}).message(), Contains("Stable Diffusion XL"));
  const auto lora = write(
      dir, "lora.safetensors",
      {{"a.lora_A.weight", at::full({1, 2}, 0.5F)}, {"a.lora_B.weight", at::full({2, 1}, 0.5F)}});
  CHECK_THAT(refused({{lora}}).hint(), Contains("--lora"));
  const auto many = write(dir, "many.safetensors", {{"emb_params", at::full({76, 32}, 0.5F)}});
  CHECK_THAT(refused({{many}}).message(), Contains("76 vectors"));
  const auto nan = write(dir, "nan.safetensors",
                         {{"x", at::full({32}, std::numeric_limits<float>::quiet_NaN())}});
  CHECK_THAT(refused({{nan}}).message(), Contains("NaN"));
  CHECK(refused({{file("ink.pt")}, {file("ink.safetensors")}}).exit_code() == 2);
  CHECK(refused({{file("ink.pt"), "two words"}}).exit_code() == 2);
  CHECK(refused({{dir / "absent.pt"}}).exit_code() == 4);
}

}  // namespace ldm
