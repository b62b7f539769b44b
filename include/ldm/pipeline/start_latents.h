#pragma once

#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
struct PlannedScheduler;
class ImageRandom;

/// The latents [B, C, h, w] fp32 that the loop starts from, for images `first` … of a plan: scaled
/// noise for text → image; the encoded image with noise at the level of the first step for image →
/// image (Meng et al. 2022, SDEdit). Draws in the public pipelines' order: the posterior's sample,
/// then the noise.
at::Tensor start_latents(Components& components, const Plan& plan, const PlannedScheduler& planned,
                         int first, std::vector<ImageRandom>& randoms);

}  // namespace ldm
