#include "ldm/nn/vector_quantizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/randn.h>

#include <cmath>
#include <limits>

#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace {

using ldm::nn::VectorQuantizer;
using ldm::test::expect_close;

/// The first nearest code of every position: the definition, one number at a time.
at::Tensor plain_indices(const at::Tensor& z, const at::Tensor& codes) {
  at::Tensor indices = at::empty({z.size(0), z.size(2), z.size(3)}, at::kLong);
  const at::Tensor vectors = z.permute({0, 2, 3, 1}).contiguous().to(at::kDouble);
  const at::Tensor book = codes.to(at::kDouble).contiguous();
  const std::int64_t channels = z.size(1);
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const double* vector = vectors.const_data_ptr<double>() + i * channels;
    double least = std::numeric_limits<double>::infinity();
    for (std::int64_t k = 0; k < book.size(0); ++k) {
      const double* code = book.const_data_ptr<double>() + k * channels;
      double distance = 0;
      for (std::int64_t c = 0; c < channels; ++c) distance += std::pow(vector[c] - code[c], 2);
      if (distance >= least) continue;
      least = distance;
      indices.mutable_data_ptr<std::int64_t>()[i] = k;
    }
  }
  return indices;
}

VectorQuantizer with_codes(const at::Tensor& codes) {
  VectorQuantizer quantizer(codes.size(0), codes.size(1));
  quantizer->embedding->weight.set_data(codes);
  return quantizer;
}

}  // namespace

TEST_CASE("VectorQuantizer finds the codes that diffusers finds", "[golden]") {
  const at::NoGradGuard no_grad;
  const ldm::test::Golden golden("vq");
  VectorQuantizer quantizer(5000, 4);
  ldm::test::fill_reference_weights(*quantizer);
  const auto [z_q, indices] = quantizer->quantize(golden.at("quantizer.z"));
  CHECK(indices.equal(golden.at("quantizer.indices").to(at::kLong)));
  expect_close(z_q, golden.at("quantizer.z_q"), 1e-5);
}

TEST_CASE("VectorQuantizer equals the plain definition") {
  const at::NoGradGuard no_grad;
  // 3000 codes and 40×50 positions: more distances than are held at a time.
  const at::Tensor codes = at::randn({3000, 3});
  const at::Tensor z = at::randn({1, 3, 40, 50});
  const auto [z_q, indices] = with_codes(codes)->quantize(z);
  const at::Tensor expected = plain_indices(z, codes);
  // Rounding may choose the other of two codes that are equally near within it.
  const at::Tensor chosen = codes.index({indices.flatten()}).view({1, 40, 50, 3});
  const at::Tensor best = codes.index({expected.flatten()}).view({1, 40, 50, 3});
  const at::Tensor vectors = z.permute({0, 2, 3, 1});
  const at::Tensor excess = (vectors - chosen).norm(2, {3}) - (vectors - best).norm(2, {3});
  CHECK(excess.max().item<double>() < 1e-5);
  CHECK((indices != expected).sum().item<std::int64_t>() <= 2);
  CHECK(z_q.equal(chosen.permute({0, 3, 1, 2})));
}

TEST_CASE("VectorQuantizer takes the first of equal codes") {
  const at::NoGradGuard no_grad;
  const at::Tensor once = at::randn({130, 4});
  const at::Tensor z = at::randn({2, 4, 9, 7});
  const at::Tensor indices = with_codes(at::cat({once, once, once}))->quantize(z).indices;
  CHECK(indices.max().item<std::int64_t>() < 130);
}

TEST_CASE("VectorQuantizer leaves codes as they are, in their dtype and memory format") {
  const at::NoGradGuard no_grad;
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const at::Tensor codes = at::randn({64, 4}).to(dtype);
  const VectorQuantizer quantizer = with_codes(codes);
  const at::Tensor z =
      codes.view({1, 8, 8, 4}).permute({0, 3, 1, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor z_q = quantizer->quantize(z).z_q;
  CHECK(z_q.equal(z));
  CHECK(z_q.scalar_type() == dtype);
  CHECK(z_q.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("VectorQuantizer keeps what is not finite visible") {
  const at::NoGradGuard no_grad;
  at::Tensor z = at::randn({1, 4, 3, 3});
  z[0][2][1][1] =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  const at::Tensor z_q = with_codes(at::randn({16, 4}))->quantize(z).z_q;
  CHECK(z_q[0][2][1][1].isnan().item<bool>());
  CHECK(at::isfinite(z_q).sum().item<std::int64_t>() == 35);
}
