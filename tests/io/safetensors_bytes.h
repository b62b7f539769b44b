#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "ldm/io/safetensors.h"

namespace ldm::test {

/// A safetensors file of this header text and that many data bytes.
inline std::string safetensors_bytes(std::string_view header, std::size_t data_bytes = 0) {
  std::string out;
  for (unsigned i = 0; i < 8; ++i) out += static_cast<char>((header.size() >> (8U * i)) & 0xFFU);
  out += header;
  for (std::size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i & 0x7FU);
  return out;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Parses a whole file held in memory.
inline SafetensorsHeader parse(std::string_view file, const SafetensorsLimits& limits = {}) {
  return parse_safetensors_header(bytes_of(file), file.size(), "f.safetensors", limits);
}

}  // namespace ldm::test
