#pragma once

#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
class ImageRandom;

/// The second pass of a plan whose request has `hires`: image to image at the larger size, rounded
/// down to whole latents. Its schedule is still to be planned. Throws Error::usage for a size that
/// is too large.
Plan second_pass_of(const Plan& first, std::int64_t downsampling);

/// The first pass's final latents [B, C, h, w] at the second's size, as clean latents fp32: by
/// bilinear interpolation, or as pictures (Lanczos) that are decoded, enlarged and encoded again,
/// which draws the posterior's sample of each image.
at::Tensor enlarged_latents(Components& components, const Plan& second, const at::Tensor& latents,
                            std::vector<ImageRandom>& randoms);

}  // namespace ldm
