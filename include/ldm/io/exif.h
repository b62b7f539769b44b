#pragma once

#include <cstddef>
#include <span>

#include "ldm/io/image.h"

namespace ldm {

/// The orientation (1 to 8) in an EXIF TIFF block; 1 when there is none or the block is broken,
/// because metadata must not make a picture unreadable. Source: Exif 2.32, tag 0x0112.
int exif_orientation(std::span<const std::byte> tiff);

/// The picture turned and mirrored so that `orientation` becomes 1.
Image apply_orientation(Image image, int orientation);

}  // namespace ldm
