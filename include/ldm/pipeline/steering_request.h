#pragma once

#include <memory>
#include <optional>

#include "ldm/io/image.h"

namespace ldm {

/// FreeU (Si et al. 2023): factors of backbone and skip connections in the two lowest up blocks of
/// a UNet, as diffusers' `enable_freeu` names them; none is 0.
struct FreeUFactors {
  double b1 = 1;
  double b2 = 1;
  double s1 = 1;
  double s2 = 1;
  bool operator==(const FreeUFactors&) const = default;
};

/// Where canny_edges (io/canny.h) begins and ends edges.
struct CannyThresholds {
  double low = 100;
  double high = 200;
};

/// A picture that a ControlNet sees, resized to the picture's size.
struct ControlImage {
  std::shared_ptr<const Image> image;
  std::optional<CannyThresholds> canny;  ///< its edges in place of itself
};

}  // namespace ldm
