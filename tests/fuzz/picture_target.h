#pragma once

#include <cstdlib>
#include <span>

#include "ldm/core/error.h"
#include "ldm/io/image.h"
#include "ldm/io/png.h"

namespace ldm::fuzz {

/// Decodes any bytes: only Error::input may come out, and a picture must be as large as it says.
inline void decode_picture(std::span<const std::byte> bytes) {
  try {
    const Image image = decode_image(bytes, "f");
    const auto pixels =
        static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
    if (image.width < 1 || image.height < 1 || image.rgb.size() != 3 * pixels) std::abort();
  } catch (const Error& error) {
    if (error.exit_code() != 3) std::abort();
  }
}

}  // namespace ldm::fuzz
