#include "ldm/nn/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <c10/core/GradMode.h>

#include "ldm/nn/attention.h"
#include "ldm/nn/resnet.h"
#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using ldm::nn::add_lora;
using ldm::test::seeded_randn;
using Names = std::vector<std::string>;

namespace {

ldm::nn::Attention make_attention() {
  ldm::nn::AttentionOptions options;
  options.query_dim = 8;
  options.heads = 2;
  options.dim_head = 4;
  return ldm::nn::Attention(options);
}

at::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
  return module.named_parameters()[name];
}

}  // namespace

TEST_CASE("a low-rank branch is the weight W + alpha / rank B A") {
  ldm::nn::Attention plain = make_attention(), learning = make_attention();
  const Names names =
      add_lora(*learning, {.rank = 2, .alpha = 3, .target_modules = {"to_q", "to_out.0"}});
  CHECK(names == Names{"to_q", "to_out.0"});
  const c10::AutoGradMode no_grad(false);
  ldm::test::fill_reference_weights(*learning);
  ldm::test::fill_reference_weights(*plain);
  for (const std::string& name : names) {
    parameter(*plain, name + ".weight") +=
        1.5 * parameter(*learning, name + ".lora_B.weight")
                  .matmul(parameter(*learning, name + ".lora_A.weight"));
  }
  const at::Tensor x = seeded_randn({2, 5, 8}, 1);
  ldm::test::expect_close(learning->forward(x), plain->forward(x), 1e-5);
}

TEST_CASE("a convolution's branch has its kernel and stride") {
  ldm::nn::Downsample2D plain(4, true, 6, 1), learning(4, true, 6, 1);
  CHECK(add_lora(*learning, {.rank = 2, .alpha = 2, .target_modules = {"conv"}}) == Names{"conv"});
  const c10::AutoGradMode no_grad(false);
  ldm::test::fill_reference_weights(*learning);
  ldm::test::fill_reference_weights(*plain);
  const at::Tensor a = parameter(*learning, "conv.lora_A.weight");
  const at::Tensor b = parameter(*learning, "conv.lora_B.weight");
  CHECK(a.sizes() == at::IntArrayRef({2, 4, 3, 3}));
  CHECK(b.sizes() == at::IntArrayRef({6, 2, 1, 1}));
  parameter(*plain, "conv.weight") += at::einsum("orxy,rikl->oikl", {b, a});
  const at::Tensor x = seeded_randn({2, 4, 8, 6}, 1);
  ldm::test::expect_close(learning->forward(x), plain->forward(x), 1e-5);
}

TEST_CASE("only whole segments of a name make a target, and norms never do") {
  ldm::nn::Attention attention = make_attention();
  CHECK(add_lora(*attention, {.rank = 1, .alpha = 1, .target_modules = {"q", "out.0", "to_out"}})
            .empty());
}
