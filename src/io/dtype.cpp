#include "ldm/io/dtype.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ldm {
namespace {

struct Row {
  std::string_view name;
  std::uint8_t bits;
};

// In the enum's order.
constexpr std::array<Row, 22> kRows = {{
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"I16", 16},    {"I32", 32},
    {"I64", 64},    {"F16", 16},        {"BF16", 16},       {"F32", 32},    {"F64", 64},
    {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6},     {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"U16", 16},    {"U32", 32},
    {"C64", 64},    {"U64", 64},
}};

const Row& row(DType dtype) { return kRows.at(static_cast<std::size_t>(dtype)); }

// A value is NaN or Inf when all exponent bits are set. The counter is as wide as the elements, so
// that the loop becomes plain SIMD compares and subtractions; blocks keep it from overflowing.
template <typename Word, Word kExponent>
Word count_in_block(const std::byte* data, std::size_t count) {
  Word found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, data + i * sizeof(Word), sizeof(Word));
    found = static_cast<Word>(found + ((word & kExponent) == kExponent ? 1U : 0U));
  }
  return found;
}

template <typename Word, Word kExponent>
std::size_t count_full_exponents(std::span<const std::byte> bytes) {
  // A constant length lets the compiler vectorise at -O2 too.
  constexpr std::size_t kBlock = 4096;
  const std::size_t count = bytes.size() / sizeof(Word);
  std::size_t total = 0;
  std::size_t start = 0;
  for (; start + kBlock <= count; start += kBlock) {
    total += count_in_block<Word, kExponent>(bytes.data() + start * sizeof(Word), kBlock);
  }
  return total +
         count_in_block<Word, kExponent>(bytes.data() + start * sizeof(Word), count - start);
}

}  // namespace

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string_view dtype_name(DType dtype) { return row(dtype).name; }

const std::vector<std::string>& dtype_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Row& r : kRows) list.emplace_back(r.name);
    return list;
  }();
  return names;
}

std::size_t dtype_bits(DType dtype) { return row(dtype).bits; }

bool is_loadable(DType dtype) { return dtype <= DType::F64; }

bool is_floating(DType dtype) {
  return dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::F32 || dtype == DType::F64;
}

std::size_t count_non_finite(DType dtype, std::span<const std::byte> bytes) {
  switch (dtype) {
    case DType::F16:
      return count_full_exponents<std::uint16_t, 0x7C00>(bytes);
    case DType::BF16:
      return count_full_exponents<std::uint16_t, 0x7F80>(bytes);
    case DType::F32:
      return count_full_exponents<std::uint32_t, 0x7F800000U>(bytes);
    case DType::F64:
      return count_full_exponents<std::uint64_t, 0x7FF0000000000000U>(bytes);
    default:
      return 0;
  }
}

}  // namespace ldm
