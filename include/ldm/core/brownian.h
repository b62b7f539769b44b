#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace ldm {

/// One image's Brownian path W(σ), σ from 0 to 16384, for the samplers on stochastic differential
/// equations: a function of the image's seed and σ alone, whatever levels a run has and whichever
/// images are computed beside it.
///
/// A path over octaves of σ; inside one it is refined by halving (Lévy's construction), each
/// middle's normal tensor made by a generator of its own, seeded from the image's seed and the
/// middle's place. Equal to no other program's path: torchsde seeds its halves otherwise.
class BrownianPath {
 public:
  /// `shape` is that of one image's latents [C, h, w].
  BrownianPath(std::uint64_t seed, std::vector<std::int64_t> shape);

  /// (W(from) - W(to)) / √(from - to), unit normal for any from > to >= 0; zeros for from = to.
  /// → fp32 on the CPU.
  at::Tensor increment(double from, double to);

 private:
  struct Node {
    std::uint64_t place = 0;
    at::Tensor normal;
  };

  /// W(σ) - W(start of its octave).
  at::Tensor value(double sigma);
  /// The whole of an octave, W(end) - W(start).
  at::Tensor octave(int number);
  at::Tensor normal(std::size_t depth, std::uint64_t place);

  std::uint64_t seed_;
  std::vector<std::int64_t> shape_;
  std::vector<Node> path_;  // the last one down from an octave, by depth
  std::pair<double, at::Tensor> last_ = {-1, {}};
};

}  // namespace ldm
