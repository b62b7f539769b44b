#pragma once

#include <memory>
#include <vector>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

struct Components;
struct DenoiserCalls;
class ImageRandom;
class Scheduler;

/// Everything that the denoiser sees beside the noisy latents and the timestep, for one batch of
/// images and all branches of guidance: text, picture channels, class labels. The same for every
/// kind of model.
struct Conditioning;

/// Whether the condition's random numbers come before the starting noise (as in the public
/// upscaler) or after it.
bool draws_before_latents(ImageCondition condition);

/// The conditioning of a batch. `contexts` holds, for each image, what `EncodedText` says for the
/// first call, [rows, S, D]. Draws what the public pipelines draw: the upscaler's noise, the
/// posterior of the masked image. The denoiser is called through `calls`, whose graph serves
/// where all calls are alike and its weights are not streamed.
std::shared_ptr<Conditioning> make_conditioning(Components& components, const Plan& plan,
                                                const std::vector<at::Tensor>& contexts,
                                                std::vector<ImageRandom>& randoms,
                                                DenoiserCalls& calls);

/// Makes a batch attend to other text from now on: for each image [rows, S, D].
void use_text(Conditioning& conditioning, const std::vector<at::Tensor>& contexts);

/// One call of the denoiser: model_input [B, C, h, w] as the scheduler scaled it, `timestep` in
/// training steps, the `call`th of the run's → the guided prediction [B, C, h, w] fp32.
at::Tensor predict_guided(Components& components, const Plan& plan,
                          const Conditioning& conditioning, const at::Tensor& model_input,
                          double timestep, int call);

/// What self-attention guidance adds to the prediction that `predict_guided` just gave for
/// `latents` [B, C, h, w] at the scheduler's step `i`, call `call` of the run.
at::Tensor self_attention_guidance(Components& components, const Plan& plan,
                                   const Conditioning& conditioning, const Scheduler& scheduler,
                                   const at::Tensor& latents, int i, int call);

/// The heat map [h, w] of image `k` of the batch; undefined where none was asked for.
at::Tensor heat_of(const Conditioning& conditioning, std::int64_t k);

}  // namespace ldm
