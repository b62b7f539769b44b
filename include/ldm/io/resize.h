#pragma once

#include "ldm/io/image.h"

namespace ldm {

/// Resamples a picture with the antialiased Lanczos-3 kernel in 22-bit fixed point, rows before
/// columns: pixel for pixel what Pillow's `Image.resize(size, LANCZOS)` gives, which the public
/// img2img pipelines use. Throws Error::internal for a size below 1.
Image resize_lanczos(const Image& image, int width, int height);

}  // namespace ldm
