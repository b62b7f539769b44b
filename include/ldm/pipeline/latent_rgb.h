#pragma once

#include <cstdint>

#include "ldm/loading/preview_map.h"

namespace at {
class Tensor;
}

namespace ldm {

/// The affine map of each latent alone, rgb = weight · z + bias, that is nearest in least squares
/// to a decoder: for latents [N, C, h, w] of pixels [N, 3, H, W] in
/// [-1, 1], each latent standing for the mean of its H/h · W/w pixels.
PreviewMap fit_latent_rgb(const at::Tensor& pixels, const at::Tensor& latents);

/// latents [B, C, h, w] → [B, 3, h, w] fp32 on the CPU.
at::Tensor apply_latent_rgb(const PreviewMap& map, const at::Tensor& latents);

/// Pictures to fit by, [N, 3, side, side] in [-1, 1]: patches of plain colour and slow gradients.
/// Always the same. `side` is a multiple of 4.
at::Tensor fitting_patterns(std::int64_t side);

}  // namespace ldm
