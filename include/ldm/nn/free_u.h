#pragma once

#include <ATen/core/Tensor.h>

namespace ldm::nn {

/// What FreeU does in one up block of a UNet.
struct FreeU {
  double backbone = 1;  ///< factor of the first half of the channels that come from below
  double skip = 1;      ///< factor of the skip connections' lowest frequencies
};

/// x [B, C, H, W] with the first half of its channels times `freeu.backbone`.
at::Tensor amplify_backbone(const at::Tensor& x, const FreeU& freeu);

/// x [B, C, H, W] with its lowest frequencies (the middle 2×2 of the centred spectrum) times
/// `freeu.skip`, in fp32. Both: Si et al. 2023, eq. 4 to 8, in the constant form of diffusers'
/// `apply_freeu`.
at::Tensor damp_skip(const at::Tensor& x, const FreeU& freeu);

}  // namespace ldm::nn
