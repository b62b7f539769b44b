#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ldm {

/// The number in up to 8 bytes, least significant first.
inline std::uint64_t from_little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8U) | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return value;
}

/// A number in 8 bytes, least significant first.
inline std::array<std::byte, 8> little_endian(std::uint64_t value) {
  std::array<std::byte, 8> bytes{};
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(value & 0xFFU);
    value >>= 8U;
  }
  return bytes;
}

}  // namespace ldm
