#pragma once

#include <cstdint>
#include <vector>

#include "ldm/io/image.h"

namespace ldm {

/// An 8-bit picture of one channel.
struct GreyImage {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> grey;  ///< row-major, one byte a pixel
};

/// Luminance as Pillow's `convert("L")`: ITU-R 601-2 in 16-bit fixed point.
GreyImage to_grey(const Image& image);

/// Blurs by three box filters a direction, edges repeated, that together are near a Gaussian of
/// standard deviation `radius` pixels (Gwosdek et al. 2011): byte for byte Pillow's
/// `ImageFilter.GaussianBlur(radius)`, which diffusers' `VaeImageProcessor.blur` applies. 0: the
/// picture itself.
GreyImage gaussian_blur(const GreyImage& image, double radius);

/// `over` where the mask is 255, `under` where it is 0, mixed between: byte for byte Pillow's
/// `Image.composite`. All of one size.
Image composite(const Image& over, const Image& under, const GreyImage& mask);

/// Pixels on each side of a picture.
struct Margins {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
  bool operator==(const Margins&) const = default;
};

/// The picture with margins around it that repeat its edge.
Image grown_by_edge(const Image& image, const Margins& margins);

/// The picture with margins of one value around it.
Image grown_by_value(const Image& image, const Margins& margins, std::uint8_t value);

}  // namespace ldm
