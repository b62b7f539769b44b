#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ldm/pipeline/denoiser_calls.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/previewer.h"
#include "ldm/pipeline/text_embedding.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
struct PlannedScheduler;
class Scheduler;

/// One image of a call.
struct WantedImage {
  int plan = 0;   ///< number of its plan
  int index = 0;  ///< k in its request
  EncodedText text;
  EncodedText second_text;  ///< the second pass's, whose steps are others
  StageHashes stages;
  std::shared_ptr<at::Tensor> heat = {};  ///< [h, w]; null unless a heat map is asked for

  const EncodedText& text_of(bool second_pass) const { return second_pass ? second_text : text; }
};

/// The seed of an image of these plans.
std::uint64_t seed_of(std::span<const Plan> plans, const WantedImage& image);

/// The loop over the steps, for a batch of images at a time.
class Denoising {
 public:
  explicit Denoising(Components& components);

  /// Final latents [images, C, h, w] of a batch, whose first image is number `first` of the call;
  /// notes hashes and heat maps in the images. With `lean`, the autoencoder is let go before the
  /// UNet comes, whose weights a GPU is given block by block.
  at::Tensor run(std::span<const Plan> plans, std::span<WantedImage> images, int first, bool lean,
                 const RunCallbacks& callbacks);

  /// What was recorded on a GPU goes, because weights do.
  void forget() { calls_.graph.forget(); }

  /// Of every step so far.
  const std::vector<double>& step_seconds() const { return step_seconds_; }

 private:
  struct Pass;
  struct PassStart;

  at::Tensor run_pass(const Pass& pass, const RunCallbacks& callbacks);
  PassStart start_pass(const Pass& pass, const PlannedScheduler& planned,
                       const RunCallbacks& callbacks);
  void prepare_previews(const RunCallbacks& callbacks);
  void preview(const Scheduler& scheduler, const at::Tensor& prediction, int i,
               const at::Tensor& sample, const Plan& plan, const RunCallbacks& callbacks) const;

  Components& components_;
  DenoiserCalls calls_;
  std::unique_ptr<Previewer> previewer_;  ///< none unless previews are wanted
  std::vector<double> step_seconds_;
};

}  // namespace ldm
