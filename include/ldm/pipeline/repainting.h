#pragma once

#include "ldm/io/grey_image.h"
#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

class Scheduler;

/// Puts the new canvas of `outpaint` around the init picture, which repeats its edge there, and
/// makes it part of the mask. The canvas is rounded up to whole latents of `unit` pixels, at the
/// right and bottom unless only the left or top grows, with a note in the log. Throws
/// Error::usage where a size is asked for that the canvas does not have.
void grow_canvas(Request& request, int unit);

/// Fills in `plan.mask` and fits the init picture to the plan's size, where a request has a mask:
/// resized (Lanczos), made grey, inverted if asked for, blurred. Throws Error::input for a mask of
/// another size than the init picture's, as `grow_canvas` does.
void prepare_repainting(Plan& plan);

/// 1 where the mask is 128 or more, else 0, as fp32 [1, 1, H, W] on the CPU (diffusers'
/// `do_binarize`).
at::Tensor binary_mask(const GreyImage& mask);

/// The same at the latents' size [1, 1, h, w], of the nearest pixels.
at::Tensor latent_mask(const Plan& plan);

/// A finished picture with what the mask keeps of the init picture put back: byte for byte where
/// the mask is 0, mixed where it is grey.
Image with_kept_pixels(Image picture, const Plan& plan);

/// Latents [B, C, h, w] before step `next`, with the clean ones at that step's noise level wherever
/// `mask` [1, 1, h, w] is 0; past the last step without noise. For models that read no mask
/// (StableDiffusionInpaintPipeline).
at::Tensor blend_kept(const at::Tensor& latents, const at::Tensor& clean, const at::Tensor& noise,
                      const at::Tensor& mask, const Scheduler& scheduler, int next);

}  // namespace ldm
