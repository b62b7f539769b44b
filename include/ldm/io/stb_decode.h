#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "ldm/io/image.h"

namespace ldm {

/// Hands bytes that `scan_png` or `scan_jpeg` has accepted to stb_image; Error::input when it
/// refuses them. `decode_image` is what callers want.
Image stb_decode_rgb(std::span<const std::byte> bytes, const std::string& name);

}  // namespace ldm
