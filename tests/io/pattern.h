#pragma once

#include <cstdint>
#include <vector>

#include "ldm/io/image.h"

namespace ldm::test {

/// A picture by formula, which scripts can make too.
inline Image pattern(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<std::uint8_t>((x * 37 + y * 11) % 256));
      image.rgb.push_back(static_cast<std::uint8_t>((x * x + y) % 256));
      image.rgb.push_back(static_cast<std::uint8_t>(y % 2 == 0 ? 0 : 255));
    }
  }
  return image;
}

inline std::uint64_t fnv(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211ULL;
  return hash;
}

}  // namespace ldm::test
