#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace at {
class Tensor;
}

namespace ldm {

class BrownianPath;
class ImageRandom;
class Scheduler;

/// The noise that a scheduler's steps ask for, for all images of a batch, each its own.
class StepNoise {
 public:
  /// Fresh noise is drawn from `randoms`, one an image; paths are made from the seeds. `shape` is
  /// that of one image's latents.
  StepNoise(std::vector<ImageRandom>& randoms, const std::vector<std::uint64_t>& seeds,
            const std::vector<std::int64_t>& shape);

  /// What step i reads, [B, C, h, w] fp32 on the CPU; undefined where it reads none.
  at::Tensor draw(const Scheduler& scheduler, int i);

 private:
  std::vector<ImageRandom>& randoms_;
  std::vector<std::shared_ptr<BrownianPath>> paths_;
  std::vector<std::int64_t> shape_;
};

}  // namespace ldm
