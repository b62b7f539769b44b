#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;

/// One UNet call just finished (all images of the current batch together).
struct StepInfo {
  int index = 0;        ///< 0-based within the batch
  int of = 0;           ///< steps a batch
  int first_image = 0;  ///< index of the batch's first image in the request
  int images = 1;       ///< images in the batch
  double timestep = 0;  ///< training step the UNet was asked about
  double seconds = 0;   ///< wall time of this step
};

/// One finished picture.
struct ImageResult {
  int index = 0;           ///< k in the request
  std::uint64_t seed = 0;  ///< request seed + k
  Image image;
  LatentsData latents;  ///< [1, C, h, w]
};

/// Seconds by stage, of everything `Pipeline::run` did so far; medians where more than one.
struct StageTimings {
  double text_encoder_s = 0;
  double unet_step_s = 0;  ///< median of the steps after the first
  double decode_s = 0;     ///< per image
};

struct RunCallbacks {
  std::function<void()> on_denoise_start;        ///< weights are in, the first step begins
  std::function<bool(const StepInfo&)> on_step;  ///< false: stop now (run throws kInterrupted)
  std::function<void(ImageResult&&)> on_image;   ///< each picture as soon as it is decoded
};

/// Text → image and image → image over one loaded model.
class Pipeline {
 public:
  explicit Pipeline(std::shared_ptr<Components> components);
  ~Pipeline();

  /// Resolves and checks a request; reads no weights. Throws Error::usage or Error::input for
  /// values that cannot work with this model, all of them in one message.
  Plan plan(const Request& request) const;

  /// Estimated seconds that a plan takes on this machine, loading aside; tries the device's speed
  /// for about a tenth of a second.
  double estimate_seconds(const Plan& plan) const;

  /// Computes the pictures of a plan. Throws Error::non_finite instead of handing out a picture of
  /// NaNs, Error::stopped when `on_step` returns false.
  void run(const Plan& plan, const RunCallbacks& callbacks);

  StageTimings timings() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
