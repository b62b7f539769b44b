#include "ldm/kernels/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "ldm/kernels/cpu/attention_kernel.h"
#include "tests/kernels/kernel_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

using test::draw;
using test::tolerance;

std::vector<at::ScalarType> served_types() {
  return test::types_served([](at::ScalarType dtype) {
    return attention_serves(draw(1, {1, 1, 1, 8}, dtype));
  });
}

at::Tensor reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::scaled_dot_product_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble))
      .to(at::kFloat);
}

}  // namespace

TEST_CASE("attention equals the reference over head sizes, lengths and tails") {
  for (const at::ScalarType dtype : served_types()) {
    for (const std::int64_t dim : {1, 7, 8, 40, 64, 80, 96, 160, 512}) {
      for (const auto& [queries, keys] : {std::pair{1L, 1L},
                                          {5L, 77L},
                                          {48L, 16L},
                                          {49L, 64L},
                                          {64L, 255L},
                                          {100L, 257L},
                                          {131L, 600L}}) {
        CAPTURE(dtype, dim, queries, keys);
        const at::Tensor q = draw(1, {2, 3, queries, dim}, dtype);
        const at::Tensor k = draw(2, {2, 3, keys, dim}, dtype);
        const at::Tensor v = draw(3, {2, 3, keys, dim}, dtype);
        test::expect_close(attention(q, k, v).to(at::kFloat), reference(q, k, v), tolerance(dtype));
      }
    }
  }
}

TEST_CASE("attention reads strided heads and gives the memory order of tokens") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor qkv = draw(4, {2, 70, 3, 4, 40}, dtype);
    const at::Tensor q = qkv.select(2, 0).transpose(1, 2);
    const at::Tensor k = qkv.select(2, 1).transpose(1, 2);
    const at::Tensor v = qkv.select(2, 2).transpose(1, 2);
    const at::Tensor mixed = attention(q, k, v);
    CHECK(mixed.transpose(1, 2).is_contiguous());
    test::expect_close(mixed.to(at::kFloat), reference(q, k, v), tolerance(dtype));
  }
}

TEST_CASE("attention bears large, equal and far apart scores") {
  for (const at::ScalarType dtype : served_types()) {
    // Whole numbers: their products and sums are exact, so that only the softmax rounds.
    const auto whole = [dtype](std::uint64_t seed, std::int64_t rows) {
      return (draw(seed, {1, 2, rows, 64}, at::kFloat) * 4).round().to(dtype);
    };
    const at::Tensor q = whole(5, 60);
    const at::Tensor k = whole(6, 300);
    const at::Tensor v = draw(7, {1, 2, 300, 64}, dtype);
    test::expect_close(attention(q, k, v).to(at::kFloat), reference(q, k, v), tolerance(dtype));
    // Scores that rise over the blocks of keys: each outweighs all before it.
    const at::Tensor ramp = at::arange(300, at::kFloat).div(8).floor().view({1, 1, 300, 1});
    const at::Tensor rising = ramp.expand({1, 2, 300, 64}).contiguous().to(dtype);
    test::expect_close(attention(q, rising, v).to(at::kFloat), reference(q, rising, v),
                       tolerance(dtype));
    const at::Tensor zero = q * 0;
    test::expect_close(attention(zero, k, v).to(at::kFloat), reference(zero, k, v),
                       tolerance(dtype));
  }
}

TEST_CASE("attention passes non-finite numbers on") {
  for (const at::ScalarType dtype : served_types()) {
    at::Tensor q = draw(8, {1, 1, 20, 40}, dtype);
    const at::Tensor k = draw(9, {1, 1, 30, 40}, dtype);
    const at::Tensor v = draw(10, {1, 1, 30, 40}, dtype);
    q[0][0][3][0] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor bad = at::isnan(attention(q, k, v)).all(-1)[0][0];
    CHECK(bad[3].item<bool>());
    CHECK(bad.sum().item<std::int64_t>() == 1);
  }
}

TEST_CASE("attention over packed keys and values is the same for every use") {
  for (const at::ScalarType dtype : served_types()) {
    const at::Tensor k = draw(11, {2, 4, 77, 40}, dtype);
    const at::Tensor v = draw(12, {2, 4, 77, 40}, dtype);
    const PackedKeyValue packed = pack_key_value(k, v);
    for (const std::int64_t queries : {3, 64, 256}) {
      const at::Tensor q = draw(13, {2, 4, queries, 40}, dtype);
      CHECK(attention(q, packed).equal(attention(q, k, v)));
    }
  }
}

TEST_CASE("the AVX2 attention kernel equals the reference") {
  if (__builtin_cpu_supports("avx2") == 0 || __builtin_cpu_supports("fma") == 0) return;
  const cpu::AttentionKernel& kernel = cpu::attention_avx2();
  for (const std::int64_t dim : {5, 40, 160}) {
    for (const std::int64_t keys : {9, 77, 300}) {
      const at::Tensor q = draw(14, {2, 3, 50, dim}, at::kFloat);
      const at::Tensor k = draw(15, {2, 3, keys, dim}, at::kFloat);
      const at::Tensor v = draw(16, {2, 3, keys, dim}, at::kFloat);
      const at::Tensor out = q.clone();
      const auto matrix = [](const at::Tensor& x) {
        return cpu::HeadMatrix{x.const_data_ptr(), x.stride(0), x.stride(1), x.stride(2)};
      };
      const cpu::AttentionShape shape{3, 50, keys, dim};
      std::vector<std::uint32_t> words(static_cast<std::size_t>(kernel.words_per_head(shape)));
      std::vector<std::byte> scratch(static_cast<std::size_t>(kernel.scratch_bytes(shape)));
      for (std::int64_t head = 0; head < 6; ++head) {
        kernel.pack(shape, matrix(k), matrix(v), head, words.data());
        for (std::int64_t block = 0; block < kernel.blocks(shape); ++block) {
          kernel.attend(shape, matrix(q), words.data(), matrix(out), head, block, scratch.data());
        }
      }
      test::expect_close(out, reference(q, k, v), 1e-5);
    }
  }
}

}  // namespace ldm
