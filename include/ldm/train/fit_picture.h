#pragma once

#include <cstdint>
#include <string_view>

#include "ldm/io/image.h"

namespace ldm::train {

/// How a picture of any shape becomes a square one.
enum class Crop {
  kNone,    ///< the whole picture, stretched
  kCenter,  ///< the shorter side fitted, the middle of the longer one kept
  kRandom,  ///< the shorter side fitted, a random part of the longer one kept
};

/// "none", "center" or "random"; anything else is Error::input.
Crop parse_crop(std::string_view name);

struct PictureOptions {
  std::int64_t size = 256;  ///< pixels a side
  Crop crop = Crop::kCenter;
  bool flip = false;  ///< mirror every other picture, left to right, at random
};

/// `picture` resized with Lanczos-3 and cut to size x size. Where it is cut and whether it is
/// mirrored depends on the run's seed and on the position in the run only.
Image fit_picture(const Image& picture, const PictureOptions& options, std::uint64_t seed,
                  std::int64_t position);

}  // namespace ldm::train
