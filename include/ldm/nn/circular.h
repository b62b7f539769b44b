#pragma once

namespace ldm::nn {

/// Along which sides padded convolutions see the opposite edge in place of zeros.
struct CircularSides {
  bool x = false;
  bool y = false;
};

/// While one lives, every padded convolution that its thread computes sees the opposite edge along
/// x, along y, or both, whatever the form of its weights (torch's `padding_mode="circular"`); the
/// zeros that VAE downsampling adds by itself stay. The innermost one counts.
class CircularPadding {
 public:
  explicit CircularPadding(CircularSides sides);
  ~CircularPadding();
  CircularPadding(const CircularPadding&) = delete;
  CircularPadding& operator=(const CircularPadding&) = delete;

  /// The sides that count on this thread now.
  static CircularSides now();

 private:
  CircularSides before_;
};

}  // namespace ldm::nn
