#include "ldm/io/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/io/errors.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

template <typename To, typename From>
std::vector<To> convert(DType from, const std::vector<From>& in, DType to,
                        std::size_t* overflowed = nullptr) {
  std::vector<To> out(in.size());
  const std::size_t count = convert_values(from, std::as_bytes(std::span(in)), to,
                                           std::as_writable_bytes(std::span(out)));
  if (overflowed != nullptr) *overflowed = count;
  return out;
}

// The value of a 16-bit format from its definition.
double value_of(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

// The nearest finite value of the format by search, ties to the even pattern; values from half a
// step beyond the largest on are infinite.
std::uint16_t nearest(double value, int exponent_bits, int mantissa_bits) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000U : 0U;
  const double size = std::abs(value);
  const auto infinity = static_cast<std::uint16_t>(((1U << exponent_bits) - 1U) << mantissa_bits);
  const double largest =
      value_of(static_cast<std::uint16_t>(infinity - 1U), exponent_bits, mantissa_bits);
  const double step =
      largest - value_of(static_cast<std::uint16_t>(infinity - 2U), exponent_bits, mantissa_bits);
  if (size >= largest + step / 2) return static_cast<std::uint16_t>(sign | infinity);
  std::uint16_t low = 0;
  auto high = static_cast<std::uint16_t>(infinity - 1U);
  while (low < high) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    if (value_of(middle, exponent_bits, mantissa_bits) < size) {
      low = static_cast<std::uint16_t>(middle + 1U);
    } else {
      high = middle;
    }
  }
  if (low == 0) return sign;
  const double above = value_of(low, exponent_bits, mantissa_bits) - size;
  const double below =
      size - value_of(static_cast<std::uint16_t>(low - 1U), exponent_bits, mantissa_bits);
  const bool down = below < above || (below == above && (low & 1U) != 0);
  return static_cast<std::uint16_t>(sign | (down ? low - 1U : low));
}

std::vector<float> telling_floats() {
  std::vector<float> values = {0.0F,          -0.0F,           1.0F,        65504.0F, 65519.996F,
                               65520.0F,      65536.0F,        1e-8F,       2.98e-8F, 5.96e-8F,
                               6.1035156e-5F, 6.097e-5F,       1e38F,       3.4e38F,  3.3895e38F,
                               1e-45F,        1.17549435e-38F, 0.333333343F};
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isfinite(value)) values.push_back(value);
    // Most random patterns are far outside of what F16 holds.
    values.push_back(
        std::ldexp(static_cast<float>(random()) / 4e9F, static_cast<int>(random() % 45) - 28));
  }
  return values;
}

TEST_CASE("conversion rounds to the nearest value, ties to even") {
  const std::vector<float> values = telling_floats();
  const auto half = convert<std::uint16_t>(DType::F32, values, DType::F16);
  const auto brain = convert<std::uint16_t>(DType::F32, values, DType::BF16);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    wrong += half[i] != nearest(values[i], 5, 10) ? 1U : 0U;
    wrong += brain[i] != nearest(values[i], 8, 7) ? 1U : 0U;
  }
  CHECK(wrong == 0);
}

TEST_CASE("conversion from fp64 rounds once") {
  // Through fp32 this tie would be made first and then broken the wrong way.
  const double tie = 1.0 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40);
  std::vector<double> values = {
      tie, -tie, 1e-300, 1e300, 65519.999999, std::ldexp(1.0, -25), std::ldexp(1.0000001, -25)};
  for (const float value : telling_floats()) values.push_back(value * 1.0000000001);
  const auto half = convert<std::uint16_t>(DType::F64, values, DType::F16);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    wrong += half[i] != nearest(values[i], 5, 10) ? 1U : 0U;
  }
  CHECK(wrong == 0);
  CHECK(convert<float>(DType::F64, std::vector<double>{0.1, 1e39}, DType::F32)[0] == 0.1F);
}

TEST_CASE("every 16-bit pattern survives the way through fp32") {
  std::vector<std::uint16_t> all;
  for (std::uint32_t i = 0; i < 65536; ++i) all.push_back(static_cast<std::uint16_t>(i));
  for (const DType type : {DType::F16, DType::BF16}) {
    const auto floats = convert<float>(type, all, DType::F32);
    const auto back = convert<std::uint16_t>(DType::F32, floats, type);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double value = type == DType::F16 ? value_of(all[i], 5, 10) : value_of(all[i], 8, 7);
      if (std::isnan(value)) {
        wrong += std::isnan(floats[i]) &&
                         count_non_finite(type, std::as_bytes(std::span(&back[i], 1))) == 1
                     ? 0U
                     : 1U;
      } else {
        wrong += static_cast<double>(floats[i]) == value && back[i] == all[i] ? 0U : 1U;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("values that do not fit are counted") {
  std::size_t overflowed = 0;
  const std::vector<float> values = {1.0F, 70000.0F, -1e30F, std::numeric_limits<float>::infinity(),
                                     std::nanf("")};
  const auto half = convert<std::uint16_t>(DType::F32, values, DType::F16, &overflowed);
  CHECK(overflowed == 2);
  CHECK(half[1] == 0x7C00U);
  CHECK(half[2] == 0xFC00U);
  CHECK(half[3] == 0x7C00U);
  CHECK((half[4] & 0x7C00U) == 0x7C00U);
  CHECK((half[4] & 0x03FFU) != 0);
  const auto brain = convert<std::uint16_t>(DType::F16, half, DType::BF16, &overflowed);
  CHECK(overflowed == 0);
  CHECK(brain[0] == 0x3F80U);
  const std::vector<std::uint16_t> big = {0x4780U};  // 65536 as bf16
  CHECK(convert<std::uint16_t>(DType::BF16, big, DType::F16, &overflowed)[0] == 0x7C00U);
  CHECK(overflowed == 1);
  CHECK_THROWS_AS(convert<std::uint16_t>(DType::I32, std::vector<std::int32_t>{1}, DType::F16),
                  Error);
}

}  // namespace
}  // namespace ldm
