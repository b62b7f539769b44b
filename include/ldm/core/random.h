#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ldm {

/// Which generator an image's noise comes from.
enum class NoiseSource {
  kTorchCpu,  ///< torch.Generator("cpu"), a Mersenne twister
  kPhilox,    ///< torch.Generator("cuda"), Philox4x32-10, computed on the CPU
};

/// The random numbers of one image: a CPU generator seeded with the image's own seed. Every draw is
/// one fp32 normal tensor of its full shape, made on the CPU, so that it equals
/// `torch.randn(shape, generator=torch.Generator().manual_seed(seed))` on every device; with
/// Philox, what that gives on a GPU.
class ImageRandom {
 public:
  explicit ImageRandom(std::uint64_t seed, NoiseSource source = NoiseSource::kTorchCpu);
  /// The next draw, fp32 on the CPU.
  at::Tensor randn(at::IntArrayRef shape);

 private:
  std::uint64_t seed_;
  NoiseSource source_;
  std::uint32_t draws_ = 0;
  at::Generator generator_;
};

/// One draw of [1, ...] from each image's generator, stacked to [B, ...].
at::Tensor randn_each(std::vector<ImageRandom>& images, at::IntArrayRef shape);

}  // namespace ldm
