#include "ldm/io/canny.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

namespace ldm {
namespace {

struct Gradient {
  int dx = 0;
  int dy = 0;
  int size = 0;  ///< |dx| + |dy|
};

/// Gradients with a frame of zeros, so that every pixel has eight neighbours.
class Gradients {
 public:
  explicit Gradients(const Image& image)
      : width_(image.width), height_(image.height), values_(count(image)) {
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) values_[index(x, y)] = strongest(image, x, y);
    }
  }
  const Gradient& at(int x, int y) const { return values_[index(x, y)]; }

 private:
  static std::size_t count(const Image& image) {
    return static_cast<std::size_t>(image.width + 2) * static_cast<std::size_t>(image.height + 2);
  }
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y + 1) * static_cast<std::size_t>(width_ + 2) +
           static_cast<std::size_t>(x + 1);
  }

  /// Sobel 3×3 of a channel; beyond the border the border goes on.
  static Gradient sobel(const Image& image, int x, int y, int channel) {
    const auto value = [&](int dx, int dy) {
      const int column = std::clamp(x + dx, 0, image.width - 1);
      const int row = std::clamp(y + dy, 0, image.height - 1);
      const std::size_t pixel =
          static_cast<std::size_t>(row) * static_cast<std::size_t>(image.width) +
          static_cast<std::size_t>(column);
      return static_cast<int>(image.rgb[pixel * 3 + static_cast<std::size_t>(channel)]);
    };
    Gradient g;
    g.dx = value(1, -1) + 2 * value(1, 0) + value(1, 1) - value(-1, -1) - 2 * value(-1, 0) -
           value(-1, 1);
    g.dy = value(-1, 1) + 2 * value(0, 1) + value(1, 1) - value(-1, -1) - 2 * value(0, -1) -
           value(1, -1);
    g.size = std::abs(g.dx) + std::abs(g.dy);
    return g;
  }

  static Gradient strongest(const Image& image, int x, int y) {
    Gradient best = sobel(image, x, y, 0);
    for (int channel = 1; channel < 3; ++channel) {
      const Gradient other = sobel(image, x, y, channel);
      if (other.size > best.size) best = other;
    }
    return best;
  }

  int width_;
  int height_;
  std::vector<Gradient> values_;
};

/// Whether the gradient is the largest of those across the edge, whose direction is rounded to one
/// of four by comparing |dy| / |dx| with tan 22.5° and tan 67.5° in 15-bit fixed point.
bool is_ridge(const Gradients& gradients, int x, int y) {
  constexpr std::int64_t kTan22 = 13573;
  const Gradient& g = gradients.at(x, y);
  const std::int64_t run = std::abs(g.dx);
  const std::int64_t rise = std::int64_t{std::abs(g.dy)} << 15U;
  const std::int64_t flat = run * kTan22;
  if (rise < flat) {
    return g.size > gradients.at(x - 1, y).size && g.size >= gradients.at(x + 1, y).size;
  }
  if (rise > flat + (run << 16U)) {
    return g.size > gradients.at(x, y - 1).size && g.size >= gradients.at(x, y + 1).size;
  }
  const int slope = (g.dx ^ g.dy) < 0 ? -1 : 1;
  return g.size > gradients.at(x - slope, y - 1).size &&
         g.size > gradients.at(x + slope, y + 1).size;
}

}  // namespace

Image canny_edges(const Image& image, double low, double high) {
  const Gradients gradients(image);
  const auto least = static_cast<int>(std::floor(std::min(low, high)));
  const auto begin = static_cast<int>(std::floor(std::max(low, high)));
  Image edges{image.width, image.height, std::vector<std::uint8_t>(image.rgb.size(), 0)};
  const auto first_byte = [&](int x, int y) {
    return (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
            static_cast<std::size_t>(x)) *
           3;
  };
  std::vector<std::pair<int, int>> open;
  const auto mark = [&](int x, int y) {
    std::uint8_t* pixel = &edges.rgb[first_byte(x, y)];
    if (*pixel != 0) return;
    std::fill_n(pixel, 3, std::uint8_t{255});
    open.emplace_back(x, y);
  };
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (gradients.at(x, y).size > begin && is_ridge(gradients, x, y)) mark(x, y);
    }
  }
  while (!open.empty()) {
    const auto [x, y] = open.back();
    open.pop_back();
    for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, image.height - 1); ++ny) {
      for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, image.width - 1); ++nx) {
        if (gradients.at(nx, ny).size > least && is_ridge(gradients, nx, ny)) mark(nx, ny);
      }
    }
  }
  return edges;
}

}  // namespace ldm
