#include "ldm/pipeline/stage_hashes.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ldm/io/hash.h"
#include "tests/support/catch.h"

namespace ldm {

TEST_CASE("a tensor's hash is of its values in row order and its own dtype") {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const at::Tensor x = at::tensor(values).view({2, 3});
  const std::string expected = sha256_hex(std::as_bytes(std::span(values)));
  CHECK(tensor_sha256(x) == expected);
  CHECK(tensor_sha256(x.t().contiguous().t()) == expected);
  CHECK(tensor_sha256(x.t()) != expected);
  const std::vector<std::uint16_t> bf16 = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0};
  CHECK(tensor_sha256(x.to(at::kBFloat16)) == sha256_hex(std::as_bytes(std::span(bf16))));
  CHECK(tensor_sha256({}).empty());
}

TEST_CASE("the hash of tokens tells prompt and negative prompt apart") {
  Plan plan;
  plan.prompts[0].texts[0].ids = {1, 23};
  plan.negative_prompt.texts[0].ids = {4};
  CHECK(tokens_sha256(plan) == sha256_hex("1 23 \n4 \n"));
  std::swap(plan.prompts[0], plan.negative_prompt);
  CHECK(tokens_sha256(plan) == sha256_hex("4 \n1 23 \n"));
}

}  // namespace ldm
