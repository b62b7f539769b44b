#pragma once

#include <ATen/core/Tensor.h>

namespace ldm::train {

/// Peak signal-to-noise ratio in dB of each picture: a, b [B, C, H, W] in [-1, 1] → [B] fp64,
/// 10 log10(4 / mean squared error); infinite for equal pictures. Values outside the range count as
/// they are. Throws Error::internal for different shapes.
at::Tensor psnr(const at::Tensor& a, const at::Tensor& b);

/// Structural similarity of each picture: a, b [B, C, H, W] in [-1, 1], H, W >= 11 → [B] fp64 in
/// [-1, 1], the mean over channels and over the places where the 11 x 11 Gaussian window (σ = 1.5)
/// lies inside, with K1 = 0.01, K2 = 0.03 and a range of 2. Throws Error::internal for different
/// shapes or smaller pictures. Source: Wang et al. 2004, eq. 13; equal to scikit-image's
/// `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
at::Tensor ssim(const at::Tensor& a, const at::Tensor& b);

}  // namespace ldm::train
