#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ldm {

/// The random numbers of one image: a CPU generator seeded with the image's own seed. Every draw is
/// one fp32 normal tensor of its full shape, made on the CPU, so that it equals
/// `torch.randn(shape, generator=torch.Generator().manual_seed(seed))` on every device.
class ImageRandom {
 public:
  explicit ImageRandom(std::uint64_t seed);
  /// The next draw, fp32 on the CPU.
  at::Tensor randn(at::IntArrayRef shape);

 private:
  at::Generator generator_;
};

/// One draw of [1, ...] from each image's generator, stacked to [B, ...].
at::Tensor randn_each(std::vector<ImageRandom>& images, at::IntArrayRef shape);

}  // namespace ldm
