#include "ldm/train/fit_picture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

Image cut(const Image& picture, int left, int top, int size) {
  Image out{size, size, {}};
  out.rgb.reserve(std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  for (int y = top; y < top + size; ++y) {
    const auto row = picture.rgb.begin() + 3 * (std::ptrdiff_t{y} * picture.width + left);
    out.rgb.insert(out.rgb.end(), row, row + 3 * std::ptrdiff_t{size});
  }
  return out;
}

void mirror(Image& picture) {
  for (int y = 0; y < picture.height; ++y) {
    std::uint8_t* row = picture.rgb.data() + 3 * (std::ptrdiff_t{y} * picture.width);
    for (int left = 0, right = picture.width - 1; left < right; ++left, --right) {
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
    }
  }
}

// The longer side, scaled like the shorter one and never below it.
int scaled(int side, int shorter, int size) {
  return std::max(size, static_cast<int>(std::lround(1.0 * side * size / shorter)));
}

}  // namespace

Crop parse_crop(std::string_view name) {
  if (name == "none") return Crop::kNone;
  if (name == "center") return Crop::kCenter;
  if (name == "random") return Crop::kRandom;
  const std::array<std::string, 3> known = {"none", "center", "random"};
  throw Error::input(cat("no crop \"", name, "\""), did_you_mean(name, known));
}

Image fit_picture(const Image& picture, const PictureOptions& options, std::uint64_t seed,
                  std::int64_t position) {
  const auto number = static_cast<std::uint64_t>(position);
  const int size = static_cast<int>(options.size);
  const int shorter = std::min(picture.width, picture.height);
  const bool stretch = options.crop == Crop::kNone;
  const int width = stretch ? size : scaled(picture.width, shorter, size);
  const int height = stretch ? size : scaled(picture.height, shorter, size);
  const bool fits = picture.width == width && picture.height == height;
  Image fitted = fits ? picture : resize_lanczos(picture, width, height);
  const int spare = std::max(width, height) - size;
  if (spare > 0) {
    const int offset = options.crop == Crop::kCenter
                           ? spare / 2
                           : static_cast<int>(draw_key(seed, "crop", number) %
                                              (static_cast<std::uint64_t>(spare) + 1));
    fitted = cut(fitted, width > size ? offset : 0, height > size ? offset : 0, size);
  }
  if (options.flip && draw_key(seed, "flip", number) % 2 == 1) mirror(fitted);
  return fitted;
}

}  // namespace ldm::train
