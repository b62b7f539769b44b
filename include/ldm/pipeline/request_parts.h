#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// The small values that a Request is made of.

namespace ldm {

/// How `strength` is read for img2img: `kScaled` runs int(steps · strength) of the planned steps
/// (diffusers); `kExact` plans more steps so that exactly `num_inference_steps` are run.
enum class StrengthMode { kScaled, kExact };

/// How a prompt is read: as text, or with the syntax of `WeightedPrompt`.
enum class PromptSyntax { kPlain, kWeighted };

/// What the weights of a prompt do to a chunk's embedding z of its tokens' weights w.
enum class PromptWeighting {
  kMeanRestoring,  ///< z · w, scaled so that its mean is that of z (A1111's "Original")
  kPlain,          ///< z · w (A1111's "No norm")
  kComfyUI,        ///< e + (z - e) · w, e the empty prompt's embedding
};

enum class VaeTiling { kAuto, kOn, kOff };

/// Latents outside the tensor library: row-major fp32 of `shape` [N, C, h, w], as they leave the
/// sampler (before the division by the autoencoder's scaling_factor).
struct LatentsData {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// A second pass over the finished latents at a larger size (A1111's "hires. fix").
struct HiresPass {
  double scale = 2;       ///< 1 or more, of the first pass's sides
  double strength = 0.7;  ///< 0…1, read as `Request::strength_mode` says
  int steps = 0;          ///< 0: as the first pass
  bool by_image = false;  ///< enlarges the picture rather than the latents
  bool operator==(const HiresPass&) const = default;
};

/// Along which sides a picture continues at its opposite edge.
struct SeamlessSides {
  bool x = false;
  bool y = false;
  bool any() const { return x || y; }
  bool operator==(const SeamlessSides&) const = default;
};

/// Most pixels of a picture.
inline constexpr std::int64_t kMostPixels = 64LL << 20;

/// Fields of the model's scheduler_config.json that a request replaces.
struct SchedulerOverrides {
  std::optional<std::string> timestep_spacing;  ///< leading, trailing, linspace
  std::optional<std::string> prediction_type;   ///< epsilon, v_prediction, sample
  std::optional<bool> rescale_betas_zero_snr;
};

}  // namespace ldm
