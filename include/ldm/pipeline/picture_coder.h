#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "ldm/core/execution_request.h"
#include "ldm/pipeline/request.h"

namespace ldm {

struct ComponentFiles;

/// One autoencoder of any kind: pictures to latents and back, without a denoiser.
class PictureCoder {
 public:
  /// Checks config, names and shapes; reads no weights. Throws Error::model.
  PictureCoder(const ComponentFiles& autoencoder, const ExecutionRequest& request);
  ~PictureCoder();

  /// The picture's latents [1, C, h, w] as they leave the sampler (times scaling_factor): the most
  /// likely ones, or with a seed one sample of their distribution. A picture whose sides are not
  /// whole latents is resized to the next smaller ones that are; `tiling` as for pictures.
  LatentsData encode(const Image& image, std::optional<std::uint64_t> seed, VaeTiling tiling);

  /// The picture of latents number `index` of [N, C, h, w]. Throws Error::input for a wrong number
  /// of channels, Error::non_finite.
  Image decode(const LatentsData& latents, int index, VaeTiling tiling);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
