#include "ldm/io/dtype.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/catch.h"

namespace ldm {
namespace {

TEST_CASE("dtype names and sizes are the format's") {
  CHECK(dtype_names().size() == 22);
  for (const std::string& name : dtype_names()) {
    const auto dtype = dtype_from_name(name);
    REQUIRE(dtype);
    CHECK(dtype_name(*dtype) == name);
  }
  CHECK(dtype_from_name("BF16") == DType::BF16);
  CHECK(dtype_bits(DType::F4) == 4);
  CHECK(dtype_bits(DType::F6_E2M3) == 6);
  CHECK(dtype_bits(DType::C64) == 64);
  CHECK(dtype_bits(DType::BOOL) == 8);
  CHECK_FALSE(dtype_from_name("f16"));
  CHECK_FALSE(dtype_from_name(""));
}

TEST_CASE("ten dtypes can be loaded") {
  int loadable = 0;
  for (const std::string& name : dtype_names()) loadable += is_loadable(*dtype_from_name(name));
  CHECK(loadable == 10);
  CHECK(is_loadable(DType::F64));
  CHECK_FALSE(is_loadable(DType::U16));
  CHECK_FALSE(is_loadable(DType::F8_E4M3));
}

TEST_CASE("non-finite values are counted in every floating dtype, at any alignment") {
  constexpr std::size_t kCount = 10'001;
  std::vector<std::byte> bytes(1 + kCount * 8);
  const auto put = [&bytes](std::size_t index, auto value) {
    std::memcpy(bytes.data() + 1 + index * sizeof(value), &value, sizeof(value));
  };
  const auto count = [&bytes](DType dtype) {
    return count_non_finite(dtype, std::span(bytes).subspan(1, kCount * dtype_bits(dtype) / 8));
  };
  SECTION("F32") {
    for (std::size_t i = 0; i < kCount; ++i) put(i, i % 5 == 0 ? std::nanf("") : 1.5F);
    put(1, std::numeric_limits<float>::infinity());
    put(2, -std::numeric_limits<float>::infinity());
    put(3, std::numeric_limits<float>::max());
    put(4, std::numeric_limits<float>::denorm_min());
    CHECK(count(DType::F32) == 2001 + 2);
    CHECK(count(DType::I32) == 0);
  }
  SECTION("F64") {
    for (std::size_t i = 0; i < kCount; ++i) put(i, i % 2 == 0 ? std::nan("") : -3.0);
    CHECK(count(DType::F64) == 5001);
  }
  SECTION("F16") {
    // All elements, so that a 16-bit counter would overflow were the blocks too long.
    for (std::size_t i = 0; i < kCount; ++i) put(i, std::uint16_t{0xFC00});
    put(7, std::uint16_t{0x7BFF});
    CHECK(count(DType::F16) == kCount - 1);
  }
  SECTION("BF16") {
    for (std::size_t i = 0; i < kCount; ++i) put(i, std::uint16_t{0x3F80});
    put(kCount - 1, std::uint16_t{0x7FC0});
    put(9, std::uint16_t{0x7C00});  // Inf as F16, a large number as BF16
    CHECK(count(DType::BF16) == 1);
  }
}

}  // namespace
}  // namespace ldm
