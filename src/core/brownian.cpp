#include "ldm/core/brownian.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "ldm/core/random.h"

namespace ldm {
namespace {

constexpr int kLowestOctave = -16;  // the one below it reaches down to 0
constexpr int kHighestOctave = 13;
constexpr std::size_t kHalvings = 9;
constexpr std::uint64_t kMiddle = 1U << 24U;  // a part's middle, beside its end

/// SplitMix64's finalizer (Steele et al. 2014): spreads neighbouring numbers.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

int octave_of(double sigma) {
  const int octave = sigma > 0 ? std::ilogb(sigma) : kLowestOctave - 1;
  return std::clamp(octave, kLowestOctave - 1, kHighestOctave);
}

double octave_start(int octave) { return octave < kLowestOctave ? 0 : std::ldexp(1.0, octave); }
double octave_end(int octave) { return std::ldexp(1.0, octave + 1); }

/// Names a place by octave and halving: 1 is the whole octave, 2n and 2n+1 the halves of n.
std::uint64_t place_in(int octave, std::uint64_t node) {
  return static_cast<std::uint64_t>(octave - kLowestOctave + 1) << 32U | node;
}

}  // namespace

BrownianPath::BrownianPath(std::uint64_t seed, std::vector<std::int64_t> shape)
    : seed_(seed), shape_(std::move(shape)), path_(kHalvings + 2) {}

at::Tensor BrownianPath::normal(std::size_t depth, std::uint64_t place) {
  Node& node = path_[depth];
  if (!node.normal.defined() || node.place != place) {
    ImageRandom random(mixed(mixed(seed_) ^ place));
    node = {place, random.randn(shape_)};
  }
  return node.normal;
}

at::Tensor BrownianPath::octave(int number) {
  const double width = octave_end(number) - octave_start(number);
  return std::sqrt(width) * normal(0, place_in(number, 1));
}

at::Tensor BrownianPath::value(double sigma) {
  if (last_.first == sigma) return last_.second;
  const int number = octave_of(sigma);
  const auto middle_of = [&](std::uint64_t node) { return place_in(number, node) | kMiddle; };
  double low = octave_start(number);
  double high = octave_end(number);
  at::Tensor at_high = octave(number);
  at::Tensor at_low = at::zeros_like(at_high);
  std::uint64_t node = 1;
  for (std::size_t depth = 1; depth <= kHalvings; ++depth) {
    const double middle = (low + high) / 2;
    const at::Tensor at_middle =
        (at_low + at_high) / 2 + std::sqrt((high - low) / 4) * normal(depth, middle_of(node));
    const bool upper = sigma >= middle;
    node = 2 * node + (upper ? 1 : 0);
    (upper ? low : high) = middle;
    (upper ? at_low : at_high) = at_middle;
  }
  // Inside the last half one tensor serves all places: the variance is right at each.
  const double share = std::clamp((sigma - low) / (high - low), 0.0, 1.0);
  const double spread = std::sqrt(share * (1 - share) * (high - low));
  last_ = {sigma,
           at_low + share * (at_high - at_low) + spread * normal(kHalvings + 1, middle_of(node))};
  return last_.second;
}

at::Tensor BrownianPath::increment(double from, double to) {
  if (!(from > to)) return at::zeros(shape_, at::kFloat);
  // Upper levels first: the next increment begins where this one ends.
  at::Tensor sum = value(from);
  for (int number = octave_of(to); number < octave_of(from); ++number) sum = sum + octave(number);
  return (sum - value(to)) / std::sqrt(from - to);
}

}  // namespace ldm
