#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ldm/pipeline/request.h"
#include "ldm/pipeline/stage_hashes.h"

namespace ldm {

struct Components;
class Error;

/// One UNet call just finished (all images of the current batch together).
struct StepInfo {
  bool second_pass = false;  ///< whether it is the second pass's
  int index = 0;             ///< 0-based within the batch
  int of = 0;                ///< steps a batch in this pass
  int first_image = 0;       ///< number of the batch's first image among all of the call
  int images = 1;            ///< images in the batch
  double timestep = 0;       ///< training step the UNet was asked about
  double seconds = 0;        ///< wall time of this step
};

/// One finished picture.
struct ImageResult {
  int plan = 0;            ///< which of the call's plans
  int index = 0;           ///< k in its request
  std::uint64_t seed = 0;  ///< request seed + k
  Image image;
  LatentsData latents;  ///< [1, C, h, w]
  StageHashes stages;
  std::vector<float> heat;       ///< [h, w] of a word's heat map, row by row; empty if none
  std::optional<Image> heatmap;  ///< the same, drawn over the picture
};

/// Seconds by stage, of everything `Pipeline::run` did so far; medians where more than one.
struct StageTimings {
  double text_encoder_s = 0;
  double unet_step_s = 0;  ///< median of the steps after the first
  double decode_s = 0;     ///< per image
};

/// What a call is about to do for a batch of images.
enum class RunStage {
  kText,     ///< load the text encoder and encode the prompts
  kPrepare,  ///< make the first latents and load the denoiser
  kDecode,   ///< load the autoencoder and decode; before each image
};

/// Work for pictures in floating-point operations.
struct PictureCost {
  double steps = 0;   ///< all UNet calls
  double decode = 0;  ///< the autoencoder
  double second = 0;  ///< of the steps, those of a second pass

  PictureCost& operator+=(const PictureCost& other) {
    steps += other.steps;
    second += other.second;
    decode += other.decode;
    return *this;
  }
  PictureCost operator*(int pictures) const {
    return {steps * pictures, decode * pictures, second * pictures};
  }
  PictureCost& operator-=(const PictureCost& other) {
    steps -= other.steps;
    second -= other.second;
    decode -= other.decode;
    return *this;
  }
};

struct RunCallbacks {
  std::function<void(RunStage)> on_stage;
  std::function<void()> on_denoise_start;        ///< weights are in, the first step begins
  std::function<bool(const StepInfo&)> on_step;  ///< false: stop now (run throws kInterrupted)
  std::function<void(ImageResult&&)> on_image;   ///< each picture as soon as it is decoded
  /// A picture of that plan, whose steps were done, could not be decoded. It is for those that a
  /// later call hands out, and for a GPU's; where unset, and on a CPU, the call throws it.
  std::function<void(int plan, const Error& error)> on_failed;
  int preview_every = 0;  ///< steps from preview to preview; 0: none
  /// What the batch's pictures look like so far, side by side; changes no picture.
  std::function<void(const Image&)> on_preview;
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
  /// The work for one image of a plan, to compare plans by.
  PictureCost picture_cost(const Plan& plan) const;
  /// Parameters of each component that a run reads.
  std::map<std::string, double> parameter_counts() const;

  /// Computes the pictures of a plan. Throws Error::non_finite instead of handing out a picture of
  /// NaNs, Error::stopped when `on_step` returns false. Where memory runs out fewer images are
  /// computed together, from then on; when one alone does not fit either, Error::memory.
  void run(const Plan& plan, const RunCallbacks& callbacks);
  /// The same for the images of several plans one after the other, `batch_size` of them together;
  /// more than one plan only where `can_share_batch`.
  void run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks);

  /// Whether images of both plans can be computed in one batch: text to image, and alike in all but
  /// prompts and seeds.
  static bool can_share_batch(const Plan& a, const Plan& b);
  /// Images computed together where nobody says how many.
  int default_batch_size() const;
  /// Keeps weights for the next run (unless a request asks for low memory). Without it the text
  /// encoder goes before the first step, and the denoiser before the last picture is decoded.
  void expect_more_runs();

  /// From now on a GPU may still be decoding when a run returns: its callbacks are copied, and
  /// called for those pictures within later runs or `finish`, wherever these end.
  void allow_late_pictures();
  /// Pictures that are still being decoded.
  int late_pictures() const;
  /// Hands them out.
  void finish();

  StageTimings timings() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
