#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "ldm/pipeline/denoising.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm {

/// What one image's latents are of.
struct DecodedImage {
  Plan plan;
  WantedImage wanted;
  std::uint64_t seed = 0;
};

/// From final latents to pictures, one at a time.
class Decoding {
 public:
  explicit Decoding(Components& components);
  /// Waits for what a GPU still decodes, and drops it.
  ~Decoding();

  /// The picture of latents [1, C, h, w]. Throws as `decode_latents`.
  ImageResult decode(const DecodedImage& image, const at::Tensor& latents);

  /// Launches the same on a GPU, beside what is launched after it; the picture waits to be handed
  /// out. On a CPU it is decoded at once. Throws what launching throws: memory may be short.
  void launch(DecodedImage image, const at::Tensor& latents, const RunCallbacks& callbacks);

  /// Hands out the pictures that are decoded, up to the first that is not.
  void hand_out_ready();
  /// Waits for all and hands them out.
  void hand_out_all();
  /// Pictures that were launched and not handed out.
  std::size_t launched() const;

  /// What each picture took.
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  class SideStream;
  struct Launched;

  template <typename Work>
  double timed(const DecodedImage& image, const Work& work);
  void hand_out_first();

  Components& components_;
  std::unique_ptr<SideStream> side_;  ///< null on a CPU
  std::list<Launched> launched_;
  std::vector<double> seconds_;
};

}  // namespace ldm
