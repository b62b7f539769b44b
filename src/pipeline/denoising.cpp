#include "ldm/pipeline/denoising.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/stopwatch.h"
#include "ldm/loading/components.h"
#include "ldm/nn/circular.h"
#include "ldm/pipeline/compat.h"
#include "ldm/pipeline/conditioning.h"
#include "ldm/pipeline/finite_watch.h"
#include "ldm/pipeline/heatmap.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/start_latents.h"
#include "ldm/pipeline/step_noise.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

/// Records where the model is on a GPU.
const LdmCudaApi* recorder(const Components& c) {
  return c.execution.device.is_cuda() ? loaded_cuda() : nullptr;
}

void take_heat(const Conditioning& conditioning, std::span<WantedImage> images) {
  for (std::size_t k = 0; k < images.size(); ++k) {
    at::Tensor heat = heat_of(conditioning, static_cast<std::int64_t>(k));
    if (heat.defined()) images[k].heat = std::make_shared<at::Tensor>(std::move(heat));
  }
}

std::vector<at::Tensor> texts_at(std::span<const WantedImage> images, bool second_pass, int call) {
  std::vector<at::Tensor> contexts;
  for (const WantedImage& image : images) contexts.push_back(image.text_of(second_pass).at(call));
  return contexts;
}

bool text_changes(std::span<const WantedImage> images, bool second_pass, int call) {
  return std::any_of(images.begin(), images.end(), [&](const WantedImage& image) {
    return image.text_of(second_pass).changes(call);
  });
}

}  // namespace

/// One run of the loop over a batch.
struct Denoising::Pass {
  const Plan& plan;  ///< of this pass
  std::span<const Plan> plans;
  std::span<WantedImage> images;
  int first = 0;  ///< number of the batch's first image in the call
  bool lean = false;
  at::Tensor before;  ///< final latents of the pass before it; undefined for the first
};

struct Denoising::PassStart {
  std::vector<std::uint64_t> seeds;
  std::vector<ImageRandom> randoms;
  at::Tensor latents;
  LatentBlend keep;
  std::shared_ptr<Conditioning> conditioning;
};

std::uint64_t seed_of(std::span<const Plan> plans, const WantedImage& image) {
  const Request& request = plans[static_cast<std::size_t>(image.plan)].request;
  return request.seed + static_cast<std::uint64_t>(image.index);
}

Denoising::Denoising(Components& components)
    : components_(components), calls_(recorder(components)) {}

void Denoising::prepare_previews(const RunCallbacks& callbacks) {
  if (!callbacks.on_preview || callbacks.preview_every <= 0) return;
  if (!previewer_) previewer_ = std::make_unique<Previewer>(components_);
  if (components_.preview_vae) components_.preview_vae->load();
}

/// Shows what step `i`, just made from `sample`, comes to; at every so many steps and the last one.
void Denoising::preview(const Scheduler& scheduler, const at::Tensor& prediction, int i,
                        const at::Tensor& sample, const Plan& plan,
                        const RunCallbacks& callbacks) const {
  if (!previewer_ || !callbacks.on_preview || callbacks.preview_every <= 0) return;
  const int made = i - scheduler.begin_index() + 1;
  if (made % callbacks.preview_every != 0 && made != plan.steps) return;
  callbacks.on_preview(previewer_->picture(scheduler.estimate_x0(prediction, i, sample),
                                           plan.request.width, plan.request.height));
}

at::Tensor Denoising::run(std::span<const Plan> plans, std::span<WantedImage> images, int first,
                          bool lean, const RunCallbacks& callbacks) {
  const Plan& plan = plans[static_cast<std::size_t>(images.front().plan)];
  at::Tensor latents = run_pass({plan, plans, images, first, lean, {}}, callbacks);
  if (!plan.second_pass) return latents;
  for (std::size_t k = 0; k < images.size(); ++k) {
    images[k].stages.base_latents = tensor_sha256(latents[static_cast<std::int64_t>(k)]);
  }
  return run_pass({*plan.second_pass, plans, images, first, lean, latents}, callbacks);
}

/// What the loop of a pass begins with.
Denoising::PassStart Denoising::start_pass(const Pass& pass, const PlannedScheduler& planned,
                                           const RunCallbacks& callbacks) {
  const Plan& plan = pass.plan;
  PassStart start;
  for (const WantedImage& image : pass.images) {
    start.seeds.push_back(seed_of(pass.plans, image));
    start.randoms.emplace_back(start.seeds.back(), compat_of(plan.request).noise);
  }
  components_.unet.stream_weights(pass.lean);
  const std::vector<at::Tensor> contexts = texts_at(pass.images, pass.before.defined(), 0);
  const auto condition = [&] {
    return make_conditioning(components_, plan, contexts, start.randoms, calls_);
  };
  if (draws_before_latents(plan.condition)) start.conditioning = condition();
  start.latents = start_latents(components_, plan, planned, pass.images.front().index,
                                start.randoms, pass.before, start.keep);
  for (std::size_t k = 0; k < pass.images.size() && !pass.before.defined(); ++k) {
    pass.images[k].stages.first_latents =
        tensor_sha256(start.latents[static_cast<std::int64_t>(k)]);
  }
  if (!draws_before_latents(plan.condition)) start.conditioning = condition();
  prepare_previews(callbacks);
  if (pass.lean) components_.vae.release();
  components_.unet.load();
  return start;
}

/// Final latents of one pass.
at::Tensor Denoising::run_pass(const Pass& pass, const RunCallbacks& callbacks) {
  const Plan& plan = pass.plan;
  const PlannedScheduler planned = make_planned_scheduler(components_, plan);
  Scheduler& scheduler = *planned.scheduler;
  if (callbacks.on_stage) callbacks.on_stage(RunStage::kPrepare);
  const nn::CircularPadding edges({plan.request.tile.x, plan.request.tile.y});
  PassStart start = start_pass(pass, planned, callbacks);
  at::Tensor latents = start.latents;
  const c10::InferenceMode inference;
  const bool second = pass.before.defined();
  if (callbacks.on_denoise_start && !second) callbacks.on_denoise_start();
  scheduler.set_begin_index(planned.begin);
  StepNoise step_noise(start.randoms, start.seeds, plan.latent_shape);
  const auto total = static_cast<int>(scheduler.timesteps().size());
  FiniteWatch finite;
  for (int i = planned.begin; i < total; ++i) {
    const Stopwatch watch;
    const int call = i - planned.begin;
    if (text_changes(pass.images, second, call)) {
      use_text(*start.conditioning, texts_at(pass.images, second, call));
    }
    const double timestep = scheduler.timesteps()[static_cast<std::size_t>(i)];
    at::Tensor prediction = predict_guided(components_, plan, *start.conditioning,
                                           scheduler.scale_model_input(latents, i), timestep, call);
    if (plan.self_guided()) {
      prediction = prediction + self_attention_guidance(components_, plan, *start.conditioning,
                                                        scheduler, latents, i, call);
    }
    at::Tensor noise = step_noise.draw(scheduler, i);
    if (noise.defined()) noise = beside(latents, noise);
    const at::Tensor sample = std::exchange(latents, scheduler.step(prediction, i, latents, noise));
    if (start.keep) latents = start.keep(latents, scheduler, i + 1);
    finite.add(latents, call + 1);
    step_seconds_.push_back(watch.seconds());
    preview(scheduler, prediction, i, sample, plan, callbacks);
    StepInfo info;
    info.second_pass = second;
    info.index = call;
    info.of = total - planned.begin;
    info.first_image = pass.first;
    info.images = static_cast<int>(pass.images.size());
    info.timestep = timestep;
    info.seconds = step_seconds_.back();
    if (callbacks.on_step && !callbacks.on_step(info)) {
      throw Error::stopped(ErrorCode::kInterrupted, "interrupted");
    }
  }
  finite.finish();
  take_heat(*start.conditioning, pass.images);
  return latents;
}

}  // namespace ldm
