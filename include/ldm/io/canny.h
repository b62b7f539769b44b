#pragma once

#include "ldm/io/image.h"

namespace ldm {

/// The edges of a picture, white on black, of the same size: Canny 1986 in the form of OpenCV's
/// `Canny` on an RGB picture (Sobel 3×3, of each pixel the channel that changes most, |dx| + |dy|).
/// Edges begin where that exceeds `high` and go on while it exceeds `low`.
Image canny_edges(const Image& image, double low, double high);

}  // namespace ldm
