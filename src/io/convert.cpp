#include "ldm/io/convert.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

/// The layout of an IEEE 754 binary format: sign, exponent, mantissa.
template <typename WordType, unsigned kExponent, unsigned kMantissa>
struct Format {
  using Word = WordType;
  static constexpr unsigned kExponentBits = kExponent;
  static constexpr unsigned kMantissaBits = kMantissa;
  static constexpr int kBias = (1 << (kExponent - 1)) - 1;
  static constexpr Word kInfinity = static_cast<Word>(((Word{1} << kExponent) - 1) << kMantissa);
  static constexpr Word kSign = static_cast<Word>(Word{1} << (kExponent + kMantissa));
};
using Half = Format<std::uint16_t, 5, 10>;
using Brain = Format<std::uint16_t, 8, 7>;
using Single = Format<std::uint32_t, 8, 23>;
using Double = Format<std::uint64_t, 11, 52>;

template <typename F>
typename F::Word load(const std::byte* at) {
  typename F::Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

/// `value` shifted right, rounded to nearest, ties to even.
template <typename Word>
Word shift_rounded(Word value, unsigned shift) {
  if (shift == 0) return value;
  if (shift >= sizeof(Word) * 8) return 0;
  const Word kept = value >> shift;
  const Word rest = value & ((Word{1} << shift) - 1);
  const Word half = Word{1} << (shift - 1);
  const bool up = rest > half || (rest == half && (kept & 1U) != 0);
  return kept + (up ? 1U : 0U);
}

/// A value in a format of fewer bits. A carry out of the mantissa runs into the exponent, and out
/// of the largest exponent into infinity, by itself.
template <typename From, typename To>
typename To::Word narrow(typename From::Word bits) {
  using Wide = typename From::Word;
  using Word = typename To::Word;
  constexpr unsigned kShift = From::kMantissaBits - To::kMantissaBits;
  const Word sign = (bits & From::kSign) != 0 ? To::kSign : Word{0};
  const Wide magnitude = bits & static_cast<Wide>(~From::kSign);
  if (magnitude > From::kInfinity) {
    // Quiet: its payload may vanish with the bits cut off.
    return static_cast<Word>(sign | To::kInfinity | (Word{1} << (To::kMantissaBits - 1)));
  }
  const int exponent = static_cast<int>(magnitude >> From::kMantissaBits) - From::kBias + To::kBias;
  if (magnitude == From::kInfinity || exponent >= (1 << To::kExponentBits) - 1) {
    return static_cast<Word>(sign | To::kInfinity);
  }
  constexpr Wide kMantissaMask = (Wide{1} << From::kMantissaBits) - 1;
  if (exponent > 0) {
    const Wide moved =
        (static_cast<Wide>(exponent) << From::kMantissaBits) | (magnitude & kMantissaMask);
    return static_cast<Word>(sign | static_cast<Word>(shift_rounded<Wide>(moved, kShift)));
  }
  // Subnormal there. One that is subnormal here too has no hidden bit and the exponent 1.
  const bool hidden = (magnitude >> From::kMantissaBits) != 0;
  const Wide mantissa =
      (magnitude & kMantissaMask) | (hidden ? Wide{1} << From::kMantissaBits : Wide{0});
  const int lost = (hidden ? 1 : 0) - exponent;
  return static_cast<Word>(sign | static_cast<Word>(shift_rounded<Wide>(
                                      mantissa, kShift + static_cast<unsigned>(lost))));
}

float to_float(DType type, const std::byte* at) {
  switch (type) {
    case DType::BF16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(load<Brain>(at)) << 16U);
    case DType::F32:
      return std::bit_cast<float>(load<Single>(at));
    default:
      break;
  }
  const std::uint32_t bits = load<Half>(at);
  const std::uint32_t sign = (bits & Half::kSign) << 16U;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  constexpr unsigned kShift = Single::kMantissaBits - Half::kMantissaBits;
  if (magnitude >= Half::kInfinity) {
    const std::uint32_t quiet = magnitude > Half::kInfinity ? 0x00400000U : 0U;
    return std::bit_cast<float>(sign | Single::kInfinity | quiet |
                                ((magnitude & 0x3FFU) << kShift));
  }
  if (magnitude < (1U << Half::kMantissaBits)) {
    constexpr float kSmallest = 5.9604644775390625e-08F;  // 2^-24
    const float value = static_cast<float>(magnitude) * kSmallest;
    return sign != 0 ? -value : value;
  }
  constexpr std::uint32_t kRebias = static_cast<std::uint32_t>(Single::kBias - Half::kBias)
                                    << Single::kMantissaBits;
  return std::bit_cast<float>(sign | ((magnitude << kShift) + kRebias));
}

template <typename Word>
void store(std::byte* at, Word word) {
  std::memcpy(at, &word, sizeof(word));
}

/// One loop a pair of types, so that the compiler sees both.
template <typename From, typename To>
std::size_t narrow_all(const std::byte* in, std::byte* out, std::size_t count) {
  using Word = typename To::Word;
  std::size_t overflowed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = load<From>(in + i * sizeof(typename From::Word));
    const Word word = narrow<From, To>(bits);
    const bool was_finite = (bits & From::kInfinity) != From::kInfinity;
    overflowed += was_finite && (word & To::kInfinity) == To::kInfinity ? 1U : 0U;
    store(out + i * sizeof(Word), word);
  }
  return overflowed;
}

template <DType kType>
std::size_t widen_all(const std::byte* in, std::byte* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    store(out + i * sizeof(float), to_float(kType, in + i * (dtype_bits(kType) / 8)));
  }
  return 0;
}

std::size_t from_single(const std::byte* in, DType to, std::byte* out, std::size_t count) {
  if (to == DType::F16) return narrow_all<Single, Half>(in, out, count);
  if (to == DType::BF16) return narrow_all<Single, Brain>(in, out, count);
  for (std::size_t i = 0; i < count; ++i) {
    store(out + i * sizeof(double),
          static_cast<double>(to_float(DType::F32, in + i * sizeof(float))));
  }
  return 0;
}

std::size_t from_double(const std::byte* in, DType to, std::byte* out, std::size_t count) {
  if (to == DType::F16) return narrow_all<Double, Half>(in, out, count);
  if (to == DType::BF16) return narrow_all<Double, Brain>(in, out, count);
  return narrow_all<Double, Single>(in, out, count);
}

std::size_t widen(DType from, const std::byte* in, std::byte* out, std::size_t count) {
  return from == DType::F16 ? widen_all<DType::F16>(in, out, count)
                            : widen_all<DType::BF16>(in, out, count);
}

}  // namespace

bool is_convertible(DType from, DType to) { return is_floating(from) && is_floating(to); }

std::size_t convert_values(DType from, std::span<const std::byte> in, DType to,
                           std::span<std::byte> out) {
  const std::size_t count = in.size() * 8 / dtype_bits(from);
  if (!is_convertible(from, to) || out.size() != count * dtype_bits(to) / 8) {
    throw Error::internal(cat("converting ", in.size(), " bytes of ", dtype_name(from), " to ",
                              out.size(), " of ", dtype_name(to)));
  }
  if (from == to) {
    std::copy(in.begin(), in.end(), out.begin());
    return 0;
  }
  if (from == DType::F32) return from_single(in.data(), to, out.data(), count);
  if (from == DType::F64) return from_double(in.data(), to, out.data(), count);
  if (to == DType::F32) return widen(from, in.data(), out.data(), count);
  // F16 and BF16 hold different ranges, so between them the way is through fp32, which holds both.
  constexpr std::size_t kBlock = 1024;
  std::array<std::byte, kBlock * sizeof(float)> floats{};
  const std::size_t from_size = dtype_bits(from) / 8;
  const std::size_t to_size = dtype_bits(to) / 8;
  std::size_t overflowed = 0;
  for (std::size_t start = 0; start < count; start += kBlock) {
    const std::size_t length = std::min(kBlock, count - start);
    widen(from, in.data() + start * from_size, floats.data(), length);
    overflowed += from_single(floats.data(), to, out.data() + start * to_size, length);
  }
  return overflowed;
}

std::vector<float> read_floats(const TensorSource& source, std::string_view name) {
  const TensorInfo* info = source.find(name);
  if (info == nullptr) throw Error::model(cat("no tensor \"", name, "\""));
  if (!is_floating(info->dtype)) {
    throw Error::model(cat("tensor \"", name, "\" is ", describe(*info), ", expected numbers"));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(info->byte_size()));
  source.read(name, bytes);
  std::vector<float> values(bytes.size() * 8 / dtype_bits(info->dtype));
  convert_values(info->dtype, bytes, DType::F32, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace ldm
