#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/grey_image.h"
#include "ldm/io/image.h"
#include "ldm/loading/lora_request.h"
#include "ldm/pipeline/request_parts.h"
#include "ldm/pipeline/steering_request.h"
#include "ldm/schedulers/schedule_choice.h"
#include "ldm/text/prompt_chunks.h"

namespace ldm {

/// One wish for pictures. Image k of the request depends on the request and `seed + k` only.
struct Request {
  std::string prompt;
  std::string negative_prompt;
  std::uint64_t seed = 0;
  int num_images = 1;
  int batch_size = 0;  ///< images computed together; 0: chosen by device
  int num_inference_steps = 30;
  double guidance_scale = 7.5;
  double guidance_rescale = 0.0;  ///< Lin et al. 2023, eq. 16 (φ); txt2img only
  /// Of n UNet calls those number k with int(start · n) <= k < int(end · n) are guided, the others
  /// see the prompt alone: the definition of diffusers' guiders, in calls, of Kynkäänniemi et
  /// al. 2024, who give the interval in noise levels.
  double guidance_start = 0.0;
  double guidance_end = 1.0;
  /// Perturbed-attention guidance (Ahn et al. 2024), beside `guidance_scale`; 0: none.
  double pag_scale = 0.0;
  std::string pag_layers = "mid";  ///< self-attentions whose names hold one of these, by commas
  double sag_scale =
      0.0;  ///< self-attention guidance (Hong et al. 2023), beside all others; 0: none
  std::optional<FreeUFactors> freeu;
  /// DeepCache (Ma et al. 2023): whole UNet calls are every so many, those between take their deep
  /// features; 1: all are whole.
  int deep_cache = 1;
  std::string sampler;  ///< a registry name; empty: the model's own
  double eta = 0.0;     ///< DDIM and TCD
  ScheduleChoice schedule;
  std::string compat = "diffusers";  ///< whose conventions hold: diffusers a1111 comfyui compvis
  SchedulerOverrides scheduler;
  int width = 0;   ///< pixels, a multiple of 8; 0: the init image's or the model's
  int height = 0;  ///< pixels, a multiple of 8; 0: the init image's or the model's
  int clip_skip = 0;
  PromptSyntax prompt_syntax = PromptSyntax::kPlain;
  PromptWeighting prompt_weighting = PromptWeighting::kMeanRestoring;
  LongPrompt long_prompt = LongPrompt::kTruncate;
  LoraRequest loras;                        ///< merged into the weights before they are used
  std::shared_ptr<const Image> init_image;  ///< img2img when set
  /// 0…1, img2img and inpainting; by default 0.8, and 1 with a mask.
  std::optional<double> strength;
  StrengthMode strength_mode = StrengthMode::kScaled;
  /// Without `use_strength`: the starting noise in place of the seed's (diffusers' `latents=`).
  /// With it: clean latents to start img2img from (diffusers' latent `image=`).
  std::shared_ptr<const LatentsData> init_latents;
  bool use_strength = false;
  /// White is repainted: by models whose UNet reads a mask, and by ordinary ones.
  std::shared_ptr<const Image> mask;
  bool invert_mask = false;
  double mask_blur = 0;  ///< standard deviation in pixels of the finished picture
  /// New canvas around the init picture, painted as the mask's white is.
  std::optional<Margins> outpaint;
  std::optional<HiresPass> hires;  ///< text to image only
  SeamlessSides tile;
  /// Brighter is nearer; models whose UNet reads depth.
  std::shared_ptr<const Image> depth;
  std::vector<ControlImage> control_images;  ///< one a ControlNet, in their order
  double control_start = 0.0;                ///< share of the run before ControlNets begin
  double control_end = 1.0;                  ///< share of the run after which they end
  std::string heatmap;                       ///< word of the prompt to map; empty: none
  std::optional<std::int64_t> class_label;   ///< class-conditional models, in place of a prompt
  double image_guidance_scale = 1.5;         ///< models that edit a picture (InstructPix2Pix)
  int noise_level = 20;                      ///< noise on the upscaler's picture, in its own steps
  VaeTiling vae_tiling = VaeTiling::kAuto;
  bool low_memory = false;
};

/// A prompt over the UNet calls of a run: its words may change.
struct PromptTimeline {
  double weight = 1.0;  ///< among the prompts that AND joins
  std::vector<PromptTokens> texts = std::vector<PromptTokens>(1);  ///< each wording once
  std::vector<int> at_call;  ///< number of the wording at each UNet call; empty: always 0

  int number_at(int call) const {
    return at_call.empty() ? 0 : at_call[static_cast<std::size_t>(call)];
  }
  const PromptTokens& at(int call) const {
    return texts[static_cast<std::size_t>(number_at(call))];
  }
};

/// What a denoiser reads beside the noisy latents; its number of input channels tells.
enum class ImageCondition {
  kNone,
  kDepth,        ///< 1 channel: relative depth (Stable Diffusion 2 depth)
  kMaskedImage,  ///< 1 + C channels: mask and the latents of what it leaves (inpainting)
  kImage,        ///< C channels: the latents of the picture to edit (InstructPix2Pix)
  kLowResImage,  ///< 3 channels: the small picture itself, noised (upscaler)
};

/// A request resolved against a model: what will be computed, known before any weights are read.
struct Plan {
  Request request;                             ///< sampler, size and batch filled in
  std::vector<PromptTimeline> prompts = {{}};  ///< one, or those that AND joins
  PromptTimeline negative_prompt;
  std::vector<LoraUse> loras;     ///< in the order of the request
  std::vector<int> chunks = {1};  ///< of the longest prompt at each UNet call; one: always so
  std::vector<std::int64_t> heatmap_tokens;  ///< positions in the prompt's ids; empty: no heat map
  std::string scheduler_class;               ///< diffusers' class name of the sampler
  std::vector<double> timesteps;             ///< one an UNet call that will be made
  std::vector<double> sigmas;                ///< one a UNet call, then the final one
  int steps = 0;                             ///< UNet calls a batch in this pass: timesteps.size()
  ImageCondition condition = ImageCondition::kNone;
  bool image_to_image = false;  ///< whether the latents start from the init image or latents
  std::shared_ptr<const GreyImage> mask;  ///< 255 is repainted; null: nothing is kept
  int branches = 2;  ///< predictions a step: 1 unguided, 2 guided, 3 also by the image
  std::vector<std::int64_t> latent_shape;  ///< of one image [C, h, w]
  bool guided() const { return branches > 1; }
  /// Whether the model reads no mask, so that the loop keeps what the mask keeps.
  bool blends() const { return mask && condition == ImageCondition::kNone; }
  /// Rows of the UNet's batch for each image: the branches, of text one for each prompt.
  int rows() const { return branches + static_cast<int>(prompts.size()) - 1; }
  bool perturbed() const { return request.pag_scale > 0; }
  bool self_guided() const { return request.sag_scale > 0; }
  /// Whether UNet call `k` of `steps` lies in the guidance interval.
  bool guides_at(int k) const;
  /// UNet predictions for one image in call `k`, and over all calls.
  int predictions_at(int k) const;
  double predictions() const;
  /// The most predictions that one call makes for an image.
  int most_branches() const { return rows() + (perturbed() ? 1 : 0); }

  std::shared_ptr<const Plan> second_pass;  ///< what follows at the larger size; null without
  /// The pass that gives the picture.
  const Plan& last_pass() const { return second_pass ? *second_pass : *this; }
  /// Of all passes, a batch.
  int unet_calls() const { return steps + (second_pass ? second_pass->steps : 0); }

  double seconds = 0;       ///< estimated, where Pipeline::estimate_seconds filled it in
  double memory_bytes = 0;  ///< estimated peak of host memory (or device memory on CUDA)
};

}  // namespace ldm
