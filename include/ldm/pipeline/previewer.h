#pragma once

#include <memory>

#include "ldm/io/image.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;

/// Turns what a run holds half way into pictures to look at, without the autoencoder: by the small
/// one that was opened for it, else by the linear map that stands beside the autoencoder's weights,
/// else by one fitted to the autoencoder now. Draws from no image's generator.
class Previewer {
 public:
  /// Reads the autoencoder where a map must be fitted.
  explicit Previewer(Components& components);
  ~Previewer();

  /// Clean latents [B, C, h, w] → one picture of `width` x `height`, or B such side by side. The
  /// small autoencoder, where there is one, has been loaded.
  Image picture(const at::Tensor& x0, int width, int height) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
