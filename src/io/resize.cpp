#include "ldm/io/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "ldm/core/error.h"

namespace ldm {
namespace {

constexpr int kFractionBits = 22;
constexpr double kLobes = 3.0;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -kLobes && x < kLobes ? sinc(x) * sinc(x / kLobes) : 0.0; }

/// The input samples that make one output sample and their fixed-point weights.
struct Taps {
  int first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Taps> make_taps(int in_size, int out_size) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double stretch = std::max(scale, 1.0);
  const double reach = kLobes * stretch;
  std::vector<Taps> all(static_cast<std::size_t>(out_size));
  for (int out = 0; out < out_size; ++out) {
    const double center = (out + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - reach + 0.5));
    const int last = std::min(in_size, static_cast<int>(center + reach + 0.5));
    std::vector<double> exact;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      exact.push_back(lanczos((x - center + 0.5) / stretch));
      sum += exact.back();
    }
    Taps& taps = all[static_cast<std::size_t>(out)];
    taps.first = first;
    for (const double weight : exact) {
      const double fixed = weight / sum * (1 << kFractionBits);
      taps.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return all;
}

std::uint8_t to_byte(std::int32_t fixed) {
  return static_cast<std::uint8_t>(std::clamp(fixed >> kFractionBits, 0, 255));
}

/// Resamples lines of `taps.size()` RGB samples: sample i of line l stands at l * line + i * step.
struct Axis {
  std::size_t line;
  std::size_t step;
};

void resample(const std::vector<std::uint8_t>& in, Axis in_axis, std::vector<std::uint8_t>& out,
              Axis out_axis, std::size_t lines, const std::vector<Taps>& taps) {
  constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);
  for (std::size_t l = 0; l < lines; ++l) {
    for (std::size_t i = 0; i < taps.size(); ++i) {
      const std::size_t from =
          l * in_axis.line + static_cast<std::size_t>(taps[i].first) * in_axis.step;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        std::int32_t sum = kHalf;
        for (std::size_t k = 0; k < taps[i].weights.size(); ++k) {
          sum += in[from + k * in_axis.step + channel] * taps[i].weights[k];
        }
        out[l * out_axis.line + i * out_axis.step + channel] = to_byte(sum);
      }
    }
  }
}

}  // namespace

Image resize_lanczos(const Image& image, int width, int height) {
  if (width < 1 || height < 1) throw Error::internal("resize to nothing");
  Image current = image;
  if (width != current.width) {
    const auto rows = static_cast<std::size_t>(current.height);
    const auto in_line = static_cast<std::size_t>(current.width) * 3;
    const auto out_line = static_cast<std::size_t>(width) * 3;
    std::vector<std::uint8_t> out(rows * out_line);
    resample(current.rgb, {in_line, 3}, out, {out_line, 3}, rows, make_taps(current.width, width));
    current.rgb = std::move(out);
    current.width = width;
  }
  if (height != current.height) {
    const auto columns = static_cast<std::size_t>(current.width);
    const std::size_t line = columns * 3;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(height) * line);
    resample(current.rgb, {3, line}, out, {3, line}, columns, make_taps(current.height, height));
    current.rgb = std::move(out);
    current.height = height;
  }
  return current;
}

}  // namespace ldm
