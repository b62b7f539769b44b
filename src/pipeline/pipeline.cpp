#include "ldm/pipeline/pipeline.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/loading/components.h"
#include "ldm/nn/circular.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/compat.h"
#include "ldm/pipeline/conditioning.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/denoiser_graph.h"
#include "ldm/pipeline/finite_watch.h"
#include "ldm/pipeline/heatmap.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/out_of_memory.h"
#include "ldm/pipeline/plan.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/previewer.h"
#include "ldm/pipeline/repainting.h"
#include "ldm/pipeline/start_latents.h"
#include "ldm/pipeline/step_noise.h"
#include "ldm/pipeline/text_cache.h"
#include "ldm/pipeline/text_embedding.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Records where the model is on a GPU.
const LdmCudaApi* recorder(const Components& c) {
  return c.execution.device.is_cuda() ? loaded_cuda() : nullptr;
}

void warn_of_shrinking(const MemoryLimits& limits, const Plan& plan, int batch_size) {
  const int images = limits.images(plan, batch_size);
  log_warning(
      "memory-short",
      cat("out of memory: going on with ",
          limits.lean() ? "one part of the model in memory at a time"
                        : cat(images, images > 1 ? " images at a time" : " image at a time")),
      "the pictures stay the same; --batch-size and --low-memory avoid the attempt");
}

/// One image of a call.
struct Wanted {
  int plan = 0;   ///< number of its plan
  int index = 0;  ///< k in its request
  EncodedText text;
  EncodedText second_text;  ///< the second pass's, whose steps are others
  StageHashes stages;
  at::Tensor heat = {};  ///< [h, w]; undefined unless a heat map is asked for

  const EncodedText& text_of(bool second_pass) const { return second_pass ? second_text : text; }
};

void take_heat(const Conditioning& conditioning, std::span<Wanted> images) {
  for (std::size_t k = 0; k < images.size(); ++k) {
    images[k].heat = heat_of(conditioning, static_cast<std::int64_t>(k));
  }
}

std::vector<at::Tensor> texts_at(std::span<const Wanted> images, bool second_pass, int call) {
  std::vector<at::Tensor> contexts;
  for (const Wanted& image : images) contexts.push_back(image.text_of(second_pass).at(call));
  return contexts;
}

bool text_changes(std::span<const Wanted> images, bool second_pass, int call) {
  return std::any_of(images.begin(), images.end(),
                     [&](const Wanted& image) { return image.text_of(second_pass).changes(call); });
}

std::uint64_t seed_of(std::span<const Plan> plans, const Wanted& image) {
  const Request& request = plans[static_cast<std::size_t>(image.plan)].request;
  return request.seed + static_cast<std::uint64_t>(image.index);
}

/// One run of the loop over a batch.
struct Pass {
  const Plan& plan;  ///< of this pass
  std::span<const Plan> plans;
  std::span<Wanted> images;
  int first = 0;      ///< number of the batch's first image in the call
  at::Tensor before;  ///< final latents of the pass before it; undefined for the first
};

struct PassStart {
  std::vector<std::uint64_t> seeds;
  std::vector<ImageRandom> randoms;
  at::Tensor latents;
  LatentBlend keep;
  std::shared_ptr<Conditioning> conditioning;
};

}  // namespace

struct Pipeline::Impl {
  explicit Impl(std::shared_ptr<Components> parts)
      : components(std::move(parts)), graph(recorder(*components)) {}

  std::shared_ptr<Components> components;
  DenoiserGraph graph;
  TextCache texts;
  bool more_runs = false;
  MemoryLimits limits;
  std::unique_ptr<Previewer> previewer;  ///< none unless previews are wanted
  std::vector<double> text_seconds;
  std::vector<double> step_seconds;
  std::vector<double> decode_seconds;

  std::vector<Wanted> encode(std::span<const Plan> plans);
  void prepare_previews(const RunCallbacks& callbacks);
  void preview(const Scheduler& scheduler, const at::Tensor& prediction, int i,
               const at::Tensor& sample, const Plan& plan, const RunCallbacks& callbacks) const;
  at::Tensor denoise(std::span<const Plan> plans, std::span<Wanted> images, int first,
                     const RunCallbacks& callbacks);
  PassStart start_pass(const Pass& pass, const PlannedScheduler& planned,
                       const RunCallbacks& callbacks);
  at::Tensor run_pass(const Pass& pass, const RunCallbacks& callbacks);
  ImageResult decode(std::span<const Plan> plans, const Wanted& wanted, const at::Tensor& latents,
                     const RunCallbacks& callbacks);
  ImageResult decode_making_room(std::span<const Plan> plans, const Wanted& wanted,
                                 const at::Tensor& latents, const RunCallbacks& callbacks);
  void make(std::span<const Plan> plans, std::span<Wanted> images, std::size_t& done,
            int batch_size, const RunCallbacks& callbacks);
  void run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks);
  bool lean(const Request& request) const { return request.low_memory || limits.lean(); }
  void let_all_go();
  Error does_not_fit(Plan plan) const;
};

void Pipeline::Impl::prepare_previews(const RunCallbacks& callbacks) {
  if (!callbacks.on_preview || callbacks.preview_every <= 0) return;
  if (!previewer) previewer = std::make_unique<Previewer>(*components);
  if (components->preview_vae) components->preview_vae->load();
}

/// Shows what step `i`, just made from `sample`, comes to; at every so many steps and the last one.
void Pipeline::Impl::preview(const Scheduler& scheduler, const at::Tensor& prediction, int i,
                             const at::Tensor& sample, const Plan& plan,
                             const RunCallbacks& callbacks) const {
  if (!previewer || !callbacks.on_preview || callbacks.preview_every <= 0) return;
  const int made = i - scheduler.begin_index() + 1;
  if (made % callbacks.preview_every != 0 && made != plan.steps) return;
  callbacks.on_preview(previewer->picture(scheduler.estimate_x0(prediction, i, sample),
                                          plan.request.width, plan.request.height));
}

/// Final latents [images, C, h, w] of a batch, whose first image is number `first` of the call.
at::Tensor Pipeline::Impl::denoise(std::span<const Plan> plans, std::span<Wanted> images, int first,
                                   const RunCallbacks& callbacks) {
  const Plan& plan = plans[static_cast<std::size_t>(images.front().plan)];
  at::Tensor latents = run_pass({plan, plans, images, first, {}}, callbacks);
  if (!plan.second_pass) return latents;
  for (std::size_t k = 0; k < images.size(); ++k) {
    images[k].stages.base_latents = tensor_sha256(latents[static_cast<std::int64_t>(k)]);
  }
  return run_pass({*plan.second_pass, plans, images, first, latents}, callbacks);
}

/// What the loop of a pass begins with.
PassStart Pipeline::Impl::start_pass(const Pass& pass, const PlannedScheduler& planned,
                                     const RunCallbacks& callbacks) {
  const Plan& plan = pass.plan;
  PassStart start;
  for (const Wanted& image : pass.images) {
    start.seeds.push_back(seed_of(pass.plans, image));
    start.randoms.emplace_back(start.seeds.back(), compat_of(plan.request).noise);
  }
  const std::vector<at::Tensor> contexts = texts_at(pass.images, pass.before.defined(), 0);
  const auto condition = [&] {
    return make_conditioning(*components, plan, contexts, start.randoms, graph);
  };
  if (draws_before_latents(plan.condition)) start.conditioning = condition();
  start.latents = start_latents(*components, plan, planned, pass.images.front().index,
                                start.randoms, pass.before, start.keep);
  for (std::size_t k = 0; k < pass.images.size() && !pass.before.defined(); ++k) {
    pass.images[k].stages.first_latents =
        tensor_sha256(start.latents[static_cast<std::int64_t>(k)]);
  }
  if (!draws_before_latents(plan.condition)) start.conditioning = condition();
  prepare_previews(callbacks);
  if (lean(plan.request)) components->vae.release();
  components->unet.load();
  return start;
}

/// Final latents of one pass.
at::Tensor Pipeline::Impl::run_pass(const Pass& pass, const RunCallbacks& callbacks) {
  const Plan& plan = pass.plan;
  const PlannedScheduler planned = make_planned_scheduler(*components, plan);
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
    at::Tensor prediction = predict_guided(*components, plan, *start.conditioning,
                                           scheduler.scale_model_input(latents, i), timestep, call);
    if (plan.self_guided()) {
      prediction = prediction + self_attention_guidance(*components, plan, *start.conditioning,
                                                        scheduler, latents, i, call);
    }
    at::Tensor noise = step_noise.draw(scheduler, i);
    if (noise.defined()) noise = beside(latents, noise);
    const at::Tensor sample = std::exchange(latents, scheduler.step(prediction, i, latents, noise));
    if (start.keep) latents = start.keep(latents, scheduler, i + 1);
    finite.add(latents, call + 1);
    step_seconds.push_back(watch.seconds());
    preview(scheduler, prediction, i, sample, plan, callbacks);
    StepInfo info;
    info.second_pass = second;
    info.index = call;
    info.of = total - planned.begin;
    info.first_image = pass.first;
    info.images = static_cast<int>(pass.images.size());
    info.timestep = timestep;
    info.seconds = step_seconds.back();
    if (callbacks.on_step && !callbacks.on_step(info)) {
      throw Error::stopped(ErrorCode::kInterrupted, "interrupted");
    }
  }
  finite.finish();
  take_heat(*start.conditioning, pass.images);
  return latents;
}

/// The text of every image, each prompt encoded once.
std::vector<Wanted> Pipeline::Impl::encode(std::span<const Plan> plans) {
  double seconds = 0;
  std::vector<Wanted> images;
  for (int number = 0; number < static_cast<int>(plans.size()); ++number) {
    const Plan& plan = plans[static_cast<std::size_t>(number)];
    if (needs_text_encoder(*components, plan, texts)) components->text_encoder->load();
    const Stopwatch watch;
    const EncodedText text = encode_prompts(*components, plan, texts);
    EncodedText second_text;
    if (plan.second_pass) second_text = encode_prompts(*components, *plan.second_pass, texts);
    seconds += watch.seconds();
    StageHashes stages;
    stages.tokens = tokens_sha256(plan);
    stages.embeddings = text.sha256();
    for (int k = 0; k < plan.request.num_images; ++k) {
      images.push_back({number, k, text, second_text, stages});
    }
  }
  text_seconds.push_back(seconds);
  const bool keep = more_runs && !lean(plans.front().request);
  if (components->text_encoder && !keep) components->text_encoder->release();
  return images;
}

ImageResult Pipeline::Impl::decode(std::span<const Plan> plans, const Wanted& wanted,
                                   const at::Tensor& latents, const RunCallbacks& callbacks) {
  if (callbacks.on_stage) callbacks.on_stage(RunStage::kDecode);
  const Plan& plan = plans[static_cast<std::size_t>(wanted.plan)];
  components->vae.load();
  const Stopwatch watch;
  configure_autoencoder(components->vae, plan.last_pass().request);
  const nn::CircularPadding edges({plan.request.tile.x, plan.request.tile.y});
  ImageResult result;
  result.plan = wanted.plan;
  result.index = wanted.index;
  result.seed = seed_of(plans, wanted);
  result.image = with_kept_pixels(tensor_to_image(decode_latents(components->vae, latents)), plan);
  if (wanted.heat.defined()) {
    result.heat.assign(wanted.heat.const_data_ptr<float>(),
                       wanted.heat.const_data_ptr<float>() + wanted.heat.numel());
    result.heatmap = draw_heatmap(result.image, wanted.heat);
  }
  result.latents = tensor_to_latents(latents);
  result.stages = wanted.stages;
  result.stages.latents = sha256_hex(std::as_bytes(std::span(result.latents.values)));
  result.stages.picture = sha256_hex(std::as_bytes(std::span(result.image.rgb)));
  decode_seconds.push_back(watch.seconds());
  return result;
}

/// As `decode`. The latents are there: when memory runs out, only the model's other parts can make
/// room for the autoencoder.
ImageResult Pipeline::Impl::decode_making_room(std::span<const Plan> plans, const Wanted& wanted,
                                               const at::Tensor& latents,
                                               const RunCallbacks& callbacks) {
  for (bool again = false;; again = true) {
    try {
      return decode(plans, wanted, latents, callbacks);
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      if (again || !limits.make_lean()) throw does_not_fit(plans.front());
    }
    warn_of_shrinking(limits, plans.front(), 1);
    let_all_go();
  }
}

/// Computes images from number `done` on, counting each that was handed out.
void Pipeline::Impl::make(std::span<const Plan> plans, std::span<Wanted> images, std::size_t& done,
                          int batch_size, const RunCallbacks& callbacks) {
  const Plan& plan = plans.front();
  while (done < images.size()) {
    const auto most = static_cast<std::size_t>(limits.images(plan, batch_size));
    const auto batch = images.subspan(done, std::min(most, images.size() - done));
    const at::Tensor latents = denoise(plans, batch, static_cast<int>(done), callbacks);
    const bool last = !more_runs && done + batch.size() == images.size();
    if (last || lean(plan.request)) {
      graph.forget();
      components->unet.release();
      components->release_controlnets();
    }
    release_freed_memory();
    for (std::size_t k = 0; k < batch.size(); ++k) {
      const at::Tensor one = latents.narrow(0, static_cast<std::int64_t>(k), 1);
      ImageResult result = decode_making_room(plans, batch[k], one, callbacks);
      if (callbacks.on_image) callbacks.on_image(std::move(result));
      ++done;
    }
    if (lean(plan.request)) components->vae.release();
  }
}

/// Frees the weights, also of a part that was being packed when memory ran out, and the caches.
void Pipeline::Impl::let_all_go() {
  graph.forget();
  if (components->text_encoder) components->text_encoder->release();
  components->unet.release();
  components->vae.release();
  if (components->preview_vae) components->preview_vae->release();
  components->release_controlnets();
  if (components->execution.device.is_cuda()) loaded_cuda()->empty_cache();
  release_freed_memory();
  set_allocator_mode(AllocatorMode::kWeights);
}

/// Of one image alone, as it was tried last.
Error Pipeline::Impl::does_not_fit(Plan plan) const {
  plan.request.batch_size = 1;
  plan.memory_bytes = estimate_memory(*components, plan);
  return out_of_memory(plan, components->execution);
}

void Pipeline::Impl::run(std::span<const Plan> plans, int batch_size,
                         const RunCallbacks& callbacks) {
  const Plan& plan = plans.front();
  std::vector<Wanted> images;
  std::size_t done = 0;
  for (;;) {
    try {
      if (components->merge(plan.request.loras)) texts = TextCache();
      if (callbacks.on_stage && images.empty()) callbacks.on_stage(RunStage::kText);
      if (images.empty()) images = encode(plans);
      return make(plans, images, done, batch_size, callbacks);
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      const auto left = static_cast<int>(std::max<std::size_t>(1, images.size() - done));
      const int tried = std::min(limits.images(plan, batch_size), left);
      if (!limits.shrink(plan, tried)) throw does_not_fit(plan);
      warn_of_shrinking(limits, plan, batch_size);
    }
    let_all_go();
  }
}

Pipeline::Pipeline(std::shared_ptr<Components> components)
    : impl_(std::make_unique<Impl>(std::move(components))) {}

Pipeline::~Pipeline() = default;

Plan Pipeline::plan(const Request& request) const { return make_plan(*impl_->components, request); }

double Pipeline::estimate_seconds(const Plan& plan) const {
  return ldm::estimate_seconds(*impl_->components, plan);
}

PictureCost Pipeline::picture_cost(const Plan& plan) const {
  return ldm::picture_cost(*impl_->components, plan);
}

std::map<std::string, double> Pipeline::parameter_counts() const {
  return ldm::parameter_counts(*impl_->components);
}

void Pipeline::run(const Plan& plan, const RunCallbacks& callbacks) {
  run({&plan, 1}, plan.request.batch_size, callbacks);
}

void Pipeline::run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks) {
  if (plans.empty()) return;
  try {
    impl_->run(plans, batch_size, callbacks);
  } catch (const c10::Error& error) {
    throw Error::internal(error.what_without_backtrace());
  }
}

int Pipeline::default_batch_size() const { return ldm::default_batch_size(*impl_->components); }

void Pipeline::expect_more_runs() { impl_->more_runs = true; }

StageTimings Pipeline::timings() const {
  StageTimings timings;
  for (const double seconds : impl_->text_seconds) timings.text_encoder_s += seconds;
  std::vector<double> steady = impl_->step_seconds;
  if (steady.size() > 1) steady.erase(steady.begin());
  timings.unet_step_s = median(std::move(steady));
  timings.decode_s = median(impl_->decode_seconds);
  return timings;
}

}  // namespace ldm
