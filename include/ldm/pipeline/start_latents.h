#pragma once

#include <functional>
#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
struct PlannedScheduler;
class ImageRandom;
class Scheduler;

/// Latents [B, C, h, w] with what a mask keeps put in, before step `next` of the scheduler (or
/// after the last one).
using LatentBlend =
    std::function<at::Tensor(const at::Tensor& latents, const Scheduler& scheduler, int next)>;

/// The latents [B, C, h, w] fp32 that the loop starts from, for images `first` … of a plan;
/// `before` is what the first pass gave, where the plan is of the second: scaled noise for text →
/// image; the encoded image with noise at the level of the first step for image → image (Meng et
/// al. 2022, SDEdit). Draws in the public pipelines' order: the posterior's sample, then the noise;
/// then, where the loop blends, the posterior of the masked picture, which the public pipeline
/// draws without need. There `keep` becomes what every step is followed by.
at::Tensor start_latents(Components& components, const Plan& plan, const PlannedScheduler& planned,
                         int first, std::vector<ImageRandom>& randoms, const at::Tensor& before,
                         LatentBlend& keep);

}  // namespace ldm
