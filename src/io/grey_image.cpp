#include "ldm/io/grey_image.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

namespace ldm {
namespace {

constexpr int kPasses = 3;

std::size_t pixels(int width, int height) {
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
}

/// Half the width, not counting the middle, of each of `kPasses` boxes whose variances add up to
/// radius²; its fraction is the weight of a further pixel on both sides. In fp32, as Pillow.
float box_radius(double radius) {
  const auto given = static_cast<float>(radius);
  const float variance = given * given / static_cast<float>(kPasses);
  const auto length = static_cast<float>(std::sqrt(12.0 * static_cast<double>(variance) + 1.0));
  const auto whole = static_cast<float>(std::floor((static_cast<double>(length) - 1.0) / 2.0));
  const float over = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  return whole + over / (6 * (variance - (whole + 1) * (whole + 1)));
}

/// A box filter in 24-bit fixed point.
class Box {
 public:
  explicit Box(float radius)
      : radius_(static_cast<int>(radius)),
        inner_(static_cast<std::uint32_t>((1U << 24U) / (radius * 2 + 1))),
        outer_(((1U << 24U) - static_cast<std::uint32_t>(radius_ * 2 + 1) * inner_) / 2) {}

  /// `in` and `out` are rows of one length, not the same.
  void filter(const std::vector<std::uint8_t>& in, std::vector<std::uint8_t>& out) const {
    const int last = static_cast<int>(in.size()) - 1;
    const auto at = [&](int x) {
      return std::uint64_t{in[static_cast<std::size_t>(std::clamp(x, 0, last))]};
    };
    std::uint64_t sum = 0;
    for (int d = -radius_; d <= radius_; ++d) sum += at(d);
    for (int x = 0; x <= last; ++x) {
      const std::uint64_t far = at(x - radius_ - 1) + at(x + radius_ + 1);
      out[static_cast<std::size_t>(x)] =
          static_cast<std::uint8_t>((sum * inner_ + far * outer_ + (1U << 23U)) >> 24U);
      sum += at(x + radius_ + 1) - at(x - radius_);
    }
  }

 private:
  int radius_;
  std::uint64_t inner_;  ///< weight of a pixel of the box
  std::uint64_t outer_;  ///< of the next one on each side
};

/// Filters `count` rows of `length` pixels that are `step` apart and begin `stride` apart.
void filter_rows(std::vector<std::uint8_t>& image, const Box& box, int count, std::size_t stride,
                 int length, std::size_t step) {
  std::vector<std::uint8_t> row(static_cast<std::size_t>(length));
  std::vector<std::uint8_t> other(row.size());
  for (int i = 0; i < count; ++i) {
    const std::size_t first = static_cast<std::size_t>(i) * stride;
    for (std::size_t x = 0; x < row.size(); ++x) row[x] = image[first + x * step];
    for (int pass = 0; pass < kPasses; ++pass) {
      box.filter(row, other);
      row.swap(other);
    }
    for (std::size_t x = 0; x < row.size(); ++x) image[first + x * step] = row[x];
  }
}

/// Margins of a value, or of the picture's nearest pixels.
Image grown(const Image& image, const Margins& m, std::optional<std::uint8_t> value) {
  Image out{image.width + m.left + m.right, image.height + m.top + m.bottom, {}};
  out.rgb.reserve(3 * pixels(out.width, out.height));
  for (int y = -m.top; y < image.height + m.bottom; ++y) {
    for (int x = -m.left; x < image.width + m.right; ++x) {
      const int column = std::clamp(x, 0, image.width - 1);
      const int row = std::clamp(y, 0, image.height - 1);
      const bool inside = column == x && row == y;
      const std::size_t from = 3 * (pixels(image.width, row) + static_cast<std::size_t>(column));
      for (std::size_t c = 0; c < 3; ++c) {
        out.rgb.push_back(inside || !value ? image.rgb[from + c] : *value);
      }
    }
  }
  return out;
}

}  // namespace

GreyImage to_grey(const Image& image) {
  GreyImage out{image.width, image.height, {}};
  out.grey.reserve(pixels(image.width, image.height));
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) {
    const std::uint32_t sum =
        image.rgb[i] * 19595U + image.rgb[i + 1] * 38470U + image.rgb[i + 2] * 7471U + 0x8000U;
    out.grey.push_back(static_cast<std::uint8_t>(sum >> 16U));
  }
  return out;
}

GreyImage gaussian_blur(const GreyImage& image, double radius) {
  GreyImage out = image;
  if (radius <= 0) return out;
  const Box box(box_radius(radius));
  const auto width = static_cast<std::size_t>(image.width);
  filter_rows(out.grey, box, image.height, width, image.width, 1);
  filter_rows(out.grey, box, image.width, 1, image.height, width);
  return out;
}

Image composite(const Image& over, const Image& under, const GreyImage& mask) {
  Image out = under;
  for (std::size_t i = 0; i < out.rgb.size(); ++i) {
    const std::uint32_t share = mask.grey[i / 3];
    const std::uint32_t sum = over.rgb[i] * share + under.rgb[i] * (255U - share) + 128U;
    out.rgb[i] = static_cast<std::uint8_t>((sum + (sum >> 8U)) >> 8U);
  }
  return out;
}

Image grown_by_edge(const Image& image, const Margins& margins) {
  return grown(image, margins, std::nullopt);
}

Image grown_by_value(const Image& image, const Margins& margins, std::uint8_t value) {
  return grown(image, margins, value);
}

}  // namespace ldm
