#include "ldm/pipeline/conditioning.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/io/grey_image.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/control.h"
#include "ldm/pipeline/denoiser_calls.h"
#include "ldm/pipeline/guidance.h"
#include "ldm/pipeline/heatmap.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/repainting.h"
#include "ldm/pipeline/self_attention_guidance.h"
#include "ldm/pipeline/steering.h"
#include "ldm/schedulers/noise_schedule.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

// Rows in the order unconditional, image, text (of each prompt that AND joins), B of each; what a
// model does not take is undefined.
struct Conditioning {
  at::Tensor context;       ///< [rows·B, S, D]
  at::Tensor channels;      ///< [rows·B, C', h, w], put behind the latents' channels
  at::Tensor class_labels;  ///< [rows·B] int64
  std::shared_ptr<const Steering> steering;
  std::shared_ptr<const Control> control;
  std::shared_ptr<Heatmap> heatmap;                       ///< null: none is asked for
  std::shared_ptr<SelfAttentionGuidance> self_attention;  ///< null: no such guidance
  DenoiserCalls* calls = nullptr;
  bool records = false;  ///< calls are all alike
};

namespace {

/// Relative depth at the latents' size in [-1, 1] (StableDiffusionDepth2ImgPipeline).
at::Tensor depth_channel(const Plan& plan) {
  GreyImage grey = to_grey(*plan.request.depth);
  const at::Tensor full =
      at::from_blob(grey.grey.data(), {1, 1, grey.height, grey.width}, at::kByte);
  const at::Tensor depth = at::upsample_bicubic2d(full.to(at::kFloat) / 255.0,
                                                  {plan.latent_shape[1], plan.latent_shape[2]},
                                                  /*align_corners=*/false);
  const at::Tensor least = depth.amin();
  const at::Tensor range = depth.amax() - least;
  if (range.item<float>() == 0) {
    throw Error::input("the depth picture is of one value: it shows no depth",
                       "give a picture that is brighter where things are nearer");
  }
  return 2.0 * (depth - least) / range - 1.0;
}

/// Mask and latents of what it leaves, [B, 1 + C, h, w] (StableDiffusionInpaintPipeline).
at::Tensor masked_image_channels(Components& c, const Plan& plan,
                                 std::vector<ImageRandom>& randoms) {
  const at::Tensor pixels = image_to_tensor(*plan.request.init_image);
  const at::Tensor kept = sample_latents(c.vae, pixels * (1 - binary_mask(*plan.mask)), randoms);
  const at::Tensor small = latent_mask(plan).to(kept.device());
  return at::cat({small.expand({kept.size(0), -1, -1, -1}), kept}, 1);
}

/// The picture with `noise_level` steps of noise, [B, 3, h, w] (StableDiffusionUpscalePipeline).
at::Tensor low_res_channels(const Components& c, const Plan& plan,
                            std::vector<ImageRandom>& randoms) {
  const auto height = static_cast<int>(plan.latent_shape[1]);
  const auto width = static_cast<int>(plan.latent_shape[2]);
  const at::Tensor pixels = fitted_pixels(*plan.request.init_image, width, height);
  const std::vector<float> alphas = alphas_cumprod_table(c.low_res_schedule(), true);
  const float alpha = alphas.at(static_cast<std::size_t>(plan.request.noise_level));
  std::vector<at::Tensor> noisy;
  for (ImageRandom& random : randoms) {
    const at::Tensor noise = random.randn(pixels.sizes());
    noisy.push_back(sqrt_fp32(alpha) * pixels + sqrt_fp32(1 - alpha) * noise);
  }
  return at::cat(noisy);
}

/// [B, C', h, w] of the branch that sees everything; undefined where there is none.
at::Tensor condition_channels(Components& c, const Plan& plan, std::vector<ImageRandom>& randoms) {
  const Request& request = plan.request;
  const auto count = static_cast<std::int64_t>(randoms.size());
  switch (plan.condition) {
    case ImageCondition::kNone:
      return {};
    case ImageCondition::kDepth:
      return depth_channel(plan).expand({count, -1, -1, -1});
    case ImageCondition::kMaskedImage:
      return masked_image_channels(c, plan, randoms);
    case ImageCondition::kLowResImage:
      return low_res_channels(c, plan, randoms);
    case ImageCondition::kImage: {
      // Unscaled, and the mode: InstructPix2Pix was trained so.
      const at::Tensor pixels = fitted_pixels(*request.init_image, request.width, request.height);
      return encode_pixels(c.vae, pixels).mode().to(at::kFloat).expand({count, -1, -1, -1});
    }
  }
  return {};
}

/// The predictions that one UNet call makes for each image, in this order: those of the guidance's
/// branches, or only the last one's; then the last one's again with perturbed attention.
struct CallBranches {
  int all = 1;     ///< rows of the plan
  int guided = 1;  ///< of them, computed in this call
  bool perturbed = false;
  int count() const { return guided + (perturbed ? 1 : 0); }
};

CallBranches branches_at(const Plan& plan, int call) {
  return {plan.rows(), plan.guides_at(call) ? plan.rows() : 1, plan.perturbed()};
}

/// The call's rows of [rows·B, …], which may be undefined.
at::Tensor rows_of(const at::Tensor& rows, const CallBranches& call) {
  if (!rows.defined()) return rows;
  const std::int64_t images = rows.size(0) / call.all;
  const at::Tensor last = rows.narrow(0, rows.size(0) - images, images);
  const at::Tensor guided = call.guided == call.all ? rows : last;
  return call.perturbed ? at::cat({guided, last}) : guided;
}

/// The rows of the call's first branch, of [rows·B, …], which may be undefined.
at::Tensor first_rows_of(const at::Tensor& rows, const CallBranches& call) {
  if (!rows.defined()) return rows;
  const std::int64_t images = rows.size(0) / call.all;
  return rows.narrow(0, call.guided == call.all ? 0 : rows.size(0) - images, images);
}

/// The predictions of all branches [branches·B, C, h, w] from those of all rows: the prompts that
/// AND joins become one.
at::Tensor join_prompts(const Plan& plan, const at::Tensor& predictions) {
  if (plan.prompts.size() == 1) return predictions;
  std::vector<at::Tensor> parts = predictions.chunk(plan.rows());
  const auto first = parts.begin() + (plan.branches - 1);
  const std::vector<at::Tensor> texts(first, parts.end());
  std::vector<double> weights;
  for (const PromptTimeline& prompt : plan.prompts) weights.push_back(prompt.weight);
  parts.erase(first, parts.end());
  parts.push_back(compose_prompts(parts.back(), texts, weights));
  return at::cat(parts);
}

/// One guided prediction [B, C, h, w] from those of a call's rows [count·B, C, h, w].
at::Tensor combine_branches(const Plan& plan, CallBranches call, const at::Tensor& rows) {
  if (call.count() == 1) return rows;
  const at::Tensor predictions = join_prompts(plan, rows);
  if (plan.prompts.size() > 1) call.all = call.guided = plan.branches;
  const std::vector<at::Tensor> parts = predictions.chunk(call.count());
  const Request& request = plan.request;
  const at::Tensor& text = parts[static_cast<std::size_t>(call.guided - 1)];
  at::Tensor guided = text;
  if (call.guided == 3) {
    guided = guide_by_image(parts[0], parts[1], text, request.guidance_scale,
                            request.image_guidance_scale);
  } else if (call.guided == 2) {
    guided = guide(parts[0], text, request.guidance_scale);
  }
  if (call.perturbed) guided = guided + request.pag_scale * (text - parts.back());
  const bool rescaled = call.guided == 2 && request.guidance_rescale != 0;
  return rescaled ? rescale_guidance(guided, text, request.guidance_rescale) : guided;
}

/// Whether a denoiser is given an image's latents once for all its texts: what comes before the
/// first attention to a text is then computed once. On a CPU image by image, and only for latents
/// that keep it busy alone; whatever the batch, so that no picture depends on its company.
bool shares_latents(const Plan& plan, const Conditioning& conditioning, const at::Tensor& latents) {
  constexpr std::int64_t kLeastPixels = 64 * 64;
  return plan.branches > 1 && !plan.perturbed() && !plan.self_guided() &&
         conditioning.context.defined() && !conditioning.channels.defined() &&
         !conditioning.class_labels.defined() &&
         (!latents.device().is_cpu() || latents.size(2) * latents.size(3) >= kLeastPixels);
}

/// Whether every call of the denoiser does what the one before did, with other numbers.
bool repeats_itself(const Plan& plan) {
  const Request& request = plan.request;
  return !plan.perturbed() && !plan.self_guided() && request.control_images.empty() &&
         request.heatmap.empty() && request.deep_cache <= 1 && !request.freeu;
}

/// The denoiser's raw prediction in fp32 for `sample` [rows·B, C, h, w], with the rows of text and
/// class labels that belong to it.
at::Tensor denoise(Components& c, const Conditioning& conditioning, const at::Tensor& sample,
                   double timestep, const at::Tensor& text, const at::Tensor& class_labels,
                   int call) {
  // A GPU's rows share one; a CPU's products of one row depend on the number of threads.
  const std::int64_t rows = sample.device().is_cpu() || class_labels.defined() ? sample.size(0) : 1;
  const at::Tensor embedding = conditioning.calls->times.embed(c, rows, timestep, class_labels);
  const at::Tensor input = sample.contiguous(c.execution.memory_format);
  if (conditioning.records) return conditioning.calls->graph.denoise(c, input, embedding, text);
  const nn::UNetResiduals residuals = conditioning.control->residuals(sample, timestep, text, call);
  return c.unet.get().denoise_embedded(input, embedding, text, residuals).to(at::kFloat);
}

}  // namespace

bool draws_before_latents(ImageCondition condition) {
  return condition == ImageCondition::kLowResImage;
}

void use_text(Conditioning& conditioning, const std::vector<at::Tensor>& contexts) {
  if (contexts.front().defined()) conditioning.context = at::stack(contexts, 1).flatten(0, 1);
}

std::shared_ptr<Conditioning> make_conditioning(Components& c, const Plan& plan,
                                                const std::vector<at::Tensor>& contexts,
                                                std::vector<ImageRandom>& randoms,
                                                DenoiserCalls& calls) {
  if (plan.condition == ImageCondition::kMaskedImage || plan.condition == ImageCondition::kImage) {
    configure_autoencoder(c.vae, plan.request);
  }
  const auto conditioning = std::make_shared<Conditioning>();
  conditioning->steering = std::make_shared<Steering>(c, plan);
  conditioning->control = std::make_shared<Control>(c, plan);
  conditioning->calls = &calls;
  conditioning->records = repeats_itself(plan) && !c.unet.streams();
  // Other calls may put a text's keys and values elsewhere than a recording reads them, and
  // streamed weights take turns at one place.
  if (!conditioning->records) calls.graph.forget();
  const c10::InferenceMode inference;
  const auto count = static_cast<std::int64_t>(randoms.size());
  if (!plan.heatmap_tokens.empty()) {
    conditioning->heatmap = std::make_shared<Heatmap>(c, plan, count);
  }
  if (plan.self_guided()) {
    conditioning->self_attention = std::make_shared<SelfAttentionGuidance>(c);
  }
  use_text(*conditioning, contexts);
  const at::Tensor full = condition_channels(c, plan, randoms);
  if (full.defined()) {
    std::vector<at::Tensor> rows(static_cast<std::size_t>(plan.rows()),
                                 full.to(c.execution.device));
    if (plan.branches == 3) rows.front() = at::zeros_like(rows.front());
    conditioning->channels = at::cat(rows).to(c.execution.dtype);
  }
  if (plan.condition == ImageCondition::kLowResImage) {
    conditioning->class_labels =
        at::full({plan.rows() * count}, std::int64_t{plan.request.noise_level},
                 at::TensorOptions().dtype(at::kLong).device(c.execution.device));
  }
  return conditioning;
}

at::Tensor predict_guided(Components& c, const Plan& plan, const Conditioning& conditioning,
                          const at::Tensor& model_input, double timestep, int call) {
  const at::Tensor latents = model_input.to(c.execution.dtype);
  const CallBranches branches = branches_at(plan, call);
  const at::Tensor context = rows_of(conditioning.context, branches);
  const at::Tensor class_labels = rows_of(conditioning.class_labels, branches);
  conditioning.steering->perturb_last_of(branches.perturbed ? branches.count() : 0);
  const auto expect_heat = [&](std::int64_t first_image, std::int64_t count) {
    if (conditioning.heatmap) {
      conditioning.heatmap->expect((branches.guided - 1) * count, first_image, count);
    }
  };
  const bool shared = shares_latents(plan, conditioning, latents);
  if (!shared || !latents.device().is_cpu()) {
    expect_heat(0, latents.size(0));
    conditioning.steering->expect_call(call, 0, branches.count() * latents.size(0));
    at::Tensor sample = shared ? latents : latents.repeat({branches.count(), 1, 1, 1});
    if (conditioning.channels.defined()) {
      sample = at::cat({sample, rows_of(conditioning.channels, branches)}, 1);
    }
    SelfAttentionGuidance* own = conditioning.self_attention.get();
    if (own != nullptr) own->expect(latents.size(0));
    const at::Tensor rows = denoise(c, conditioning, sample, timestep, context, class_labels, call);
    if (own != nullptr) own->remember(rows);
    return combine_branches(plan, branches, rows);
  }
  std::vector<at::Tensor> images;
  const at::Tensor contexts = context.unflatten(0, {branches.count(), latents.size(0)});
  for (std::int64_t b = 0; b < latents.size(0); ++b) {
    expect_heat(b, 1);
    conditioning.steering->expect_call(call, static_cast<std::size_t>(b), branches.count());
    images.push_back(combine_branches(plan, branches,
                                      denoise(c, conditioning, latents.narrow(0, b, 1), timestep,
                                              contexts.select(1, b), class_labels, call)));
  }
  return at::cat(images);
}

at::Tensor self_attention_guidance(Components& c, const Plan& plan,
                                   const Conditioning& conditioning, const Scheduler& scheduler,
                                   const at::Tensor& latents, int i, int call) {
  SelfAttentionGuidance& own = *conditioning.self_attention;
  const at::Tensor& prediction = own.prediction();
  const at::Tensor clean = scheduler.estimate_x0(prediction, i, latents);
  // The same noise on the degraded picture: only the picture's share of the latents changes.
  const at::Tensor change = own.degrade(clean) - clean;
  const at::Tensor degraded = latents + scheduler.add_noise(change, at::zeros_like(change), i);
  const CallBranches branches = branches_at(plan, call);
  at::Tensor sample = scheduler.scale_model_input(degraded, i).to(c.execution.dtype);
  if (conditioning.channels.defined()) {
    sample = at::cat({sample, first_rows_of(conditioning.channels, branches)}, 1);
  }
  own.expect(0);
  const at::Tensor of_degraded =
      denoise(c, conditioning, sample, scheduler.timesteps().at(static_cast<std::size_t>(i)),
              first_rows_of(conditioning.context, branches),
              first_rows_of(conditioning.class_labels, branches), call);
  return plan.request.sag_scale * (prediction - of_degraded);
}

at::Tensor heat_of(const Conditioning& conditioning, std::int64_t k) {
  return conditioning.heatmap ? conditioning.heatmap->map(k) : at::Tensor();
}

}  // namespace ldm
