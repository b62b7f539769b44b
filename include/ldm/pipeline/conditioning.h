#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;
class ImageRandom;

/// Everything that the denoiser sees beside the noisy latents and the timestep, for one batch of B
/// images and all branches of guidance: rows in the order unconditional, image, text, B of each.
/// The same for every kind of model; what a model does not take is undefined.
struct Conditioning {
  at::Tensor context;       ///< [branches·B, S, D]
  at::Tensor channels;      ///< [branches·B, C', h, w], put behind the latents' channels
  at::Tensor class_labels;  ///< [branches·B] int64
};

/// Text (or class) embeddings [branches, S, D] of a plan, in the denoiser's dtype; undefined for an
/// unconditional model. Throws Error::non_finite.
at::Tensor encode_prompts(Components& components, const Plan& plan);

/// Whether the condition's random numbers come before the starting noise (as in the public
/// upscaler) or after it.
bool draws_before_latents(ImageCondition condition);

/// The conditioning of a batch. `context` [branches, S, D] is what `encode_prompts` gave. Draws
/// what the public pipelines draw: the upscaler's noise, the posterior of the masked image.
Conditioning make_conditioning(Components& components, const Plan& plan, const at::Tensor& context,
                               std::vector<ImageRandom>& randoms);

/// One guided prediction [B, C, h, w] fp32 from those of all branches [branches·B, C, h, w].
at::Tensor combine_branches(const Plan& plan, const at::Tensor& predictions);

}  // namespace ldm
