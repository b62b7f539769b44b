#pragma once

#include <span>

namespace at {
class Tensor;
}

namespace ldm {

/// The prediction for prompts that AND joins: uncond + Σ weight · (text - uncond), all [B, C, h, w]
/// fp32 (Liu et al. 2022, arXiv:2206.01714, eq. 11; AUTOMATIC1111's combine_denoised).
at::Tensor compose_prompts(const at::Tensor& uncond, std::span<const at::Tensor> texts,
                           std::span<const double> weights);

/// Classifier-free guidance (Ho & Salimans 2022, eq. 6): uncond + scale · (text − uncond).
/// All [B, C, h, w], fp32.
at::Tensor guide(const at::Tensor& uncond, const at::Tensor& text, double scale);

/// Guidance by a picture and a text (Brooks et al. 2023, eq. 3): uncond + scale · (text − image) +
/// image_scale · (image − uncond), where `image` has seen the picture and no text. All
/// [B, C, h, w], fp32.
at::Tensor guide_by_image(const at::Tensor& uncond, const at::Tensor& image, const at::Tensor& text,
                          double scale, double image_scale);

/// Scales a guided prediction back towards the standard deviation of the text prediction, a share
/// `rescale` of the way (Lin et al. 2023, eq. 15 and 16; diffusers' `rescale_noise_cfg`).
at::Tensor rescale_guidance(const at::Tensor& guided, const at::Tensor& text, double rescale);

}  // namespace ldm
