#pragma once

#include <cstdint>
#include <string>

#include "ldm/io/image.h"
#include "ldm/io/png.h"

namespace ldm::test {

/// A picture of one colour.
inline Image plain_picture(int width, int height, std::uint8_t red, std::uint8_t green = 0,
                           std::uint8_t blue = 0) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    image.rgb.insert(image.rgb.end(), {red, green, blue});
  }
  return image;
}

/// The bytes of its PNG.
inline std::string png_of(const Image& image) {
  const auto bytes = encode_png(image);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace ldm::test
