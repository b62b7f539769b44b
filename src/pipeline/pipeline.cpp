#include "ldm/pipeline/pipeline.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/conditioning.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/plan.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/start_latents.h"
#include "ldm/pipeline/text_cache.h"
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

void check_finite(const at::Tensor& x, const std::string& what, const char* hint) {
  if (!all_finite(x)) throw Error::non_finite(cat(what, " became NaN or Inf"), hint);
}

constexpr const char* kHalfHint = "try --dtype fp32, or bf16 in place of fp16";

void synchronize(const Execution& execution) {
  if (execution.device.is_cuda()) loaded_cuda()->synchronize(execution.device.index());
}

/// libtorch's ways to run out of memory, in our words.
[[noreturn]] void throw_out_of_memory(const Plan& plan, const Execution& execution) {
  const double free = available_memory_bytes();
  throw Error::memory(
      cat("out of memory on ", execution.device.str(), ": this request needs about ",
          human_bytes(plan.memory_bytes),
          execution.device.is_cpu() ? cat(", ", human_bytes(free), " are free") : ""),
      "use a smaller --width/--height, --batch-size 1, --dtype bf16, or --low-memory");
}

bool is_host_allocation_failure(const c10::Error& error) {
  const std::string_view text = error.what_without_backtrace();
  return text.find("not enough memory") != std::string_view::npos ||
         text.find("can't allocate memory") != std::string_view::npos;
}

/// One image of a call.
struct Wanted {
  int plan = 0;   ///< number of its plan
  int index = 0;  ///< k in its request
  at::Tensor context;
  StageHashes stages;
};

std::uint64_t seed_of(std::span<const Plan> plans, const Wanted& image) {
  const Request& request = plans[static_cast<std::size_t>(image.plan)].request;
  return request.seed + static_cast<std::uint64_t>(image.index);
}

/// What all images of a batch must agree in, beside the shapes that follow from it.
auto batch_key(const Plan& plan) {
  const Request& r = plan.request;
  return std::tie(plan.scheduler_class, plan.timesteps, plan.sigmas, plan.latent_shape,
                  plan.branches, r.guidance_scale, r.guidance_rescale, r.eta, r.width, r.height,
                  r.scheduler.timestep_spacing, r.scheduler.prediction_type,
                  r.scheduler.rescale_betas_zero_snr, r.vae_tiling, r.low_memory);
}

}  // namespace

struct Pipeline::Impl {
  std::shared_ptr<Components> components;
  TextCache texts;
  bool keep_text_encoder = false;
  std::vector<double> text_seconds;
  std::vector<double> step_seconds;
  std::vector<double> decode_seconds;

  std::vector<Wanted> encode(std::span<const Plan> plans);
  at::Tensor denoise(std::span<const Plan> plans, std::span<Wanted> images, int first,
                     const RunCallbacks& callbacks);
  ImageResult decode(std::span<const Plan> plans, const Wanted& wanted, const at::Tensor& latents);
  void run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks);
};

/// Final latents [images, C, h, w] of a batch, whose first image is number `first` of the call.
at::Tensor Pipeline::Impl::denoise(std::span<const Plan> plans, std::span<Wanted> images, int first,
                                   const RunCallbacks& callbacks) {
  const Plan& plan = plans[static_cast<std::size_t>(images.front().plan)];
  const PlannedScheduler planned = make_planned_scheduler(*components, plan);
  Scheduler& scheduler = *planned.scheduler;
  std::vector<ImageRandom> randoms;
  std::vector<at::Tensor> contexts;
  for (const Wanted& image : images) {
    randoms.emplace_back(seed_of(plans, image));
    contexts.push_back(image.context);
  }
  const auto condition = [&] { return make_conditioning(*components, plan, contexts, randoms); };
  std::shared_ptr<const Conditioning> conditioning;
  if (draws_before_latents(plan.condition)) conditioning = condition();
  at::Tensor latents = start_latents(*components, plan, planned, images.front().index, randoms);
  for (std::size_t k = 0; k < images.size(); ++k) {
    images[k].stages.first_latents = tensor_sha256(latents[static_cast<std::int64_t>(k)]);
  }
  if (!draws_before_latents(plan.condition)) conditioning = condition();
  components->unet.load();
  // The first step packs weights; from then on temporaries are all there is.
  set_allocator_mode(AllocatorMode::kWeights);
  const c10::InferenceMode inference;
  if (callbacks.on_denoise_start) callbacks.on_denoise_start();
  scheduler.set_begin_index(planned.begin);
  const auto total = static_cast<int>(scheduler.timesteps().size());
  for (int i = planned.begin; i < total; ++i) {
    const Stopwatch watch;
    const double timestep = scheduler.timesteps()[static_cast<std::size_t>(i)];
    const at::Tensor prediction = predict_guided(*components, plan, *conditioning,
                                                 scheduler.scale_model_input(latents, i), timestep);
    at::Tensor noise;
    if (scheduler.needs_noise(i)) {
      noise = randn_each(randoms, plan.latent_shape).to(latents.device());
    }
    latents = scheduler.step(prediction, i, latents, noise);
    synchronize(components->execution);
    check_finite(latents, cat("the latents at step ", i - planned.begin + 1), kHalfHint);
    step_seconds.push_back(watch.seconds());
    set_allocator_mode(AllocatorMode::kActivations);
    StepInfo info;
    info.index = i - planned.begin;
    info.of = total - planned.begin;
    info.first_image = first;
    info.images = static_cast<int>(images.size());
    info.timestep = timestep;
    info.seconds = step_seconds.back();
    if (callbacks.on_step && !callbacks.on_step(info)) {
      throw Error::stopped(ErrorCode::kInterrupted, "interrupted");
    }
  }
  return latents;
}

/// The text of every image, each prompt encoded once.
std::vector<Wanted> Pipeline::Impl::encode(std::span<const Plan> plans) {
  const Stopwatch watch;
  std::vector<Wanted> images;
  for (int number = 0; number < static_cast<int>(plans.size()); ++number) {
    const Plan& plan = plans[static_cast<std::size_t>(number)];
    if (needs_text_encoder(*components, plan, texts)) components->text_encoder->load();
    const at::Tensor context = encode_prompts(*components, plan, texts);
    StageHashes stages;
    stages.tokens = tokens_sha256(plan);
    stages.embeddings = tensor_sha256(context);
    for (int k = 0; k < plan.request.num_images; ++k) {
      images.push_back({number, k, context, stages});
    }
  }
  text_seconds.push_back(watch.seconds());
  const bool keep = keep_text_encoder && !plans.front().request.low_memory;
  if (components->text_encoder && !keep) components->text_encoder->release();
  return images;
}

ImageResult Pipeline::Impl::decode(std::span<const Plan> plans, const Wanted& wanted,
                                   const at::Tensor& latents) {
  const Stopwatch watch;
  const Request& request = plans[static_cast<std::size_t>(wanted.plan)].request;
  configure_tiling(components->vae.get(), request.vae_tiling, request.width, request.height);
  ImageResult result;
  result.plan = wanted.plan;
  result.index = wanted.index;
  result.seed = seed_of(plans, wanted);
  result.image = tensor_to_image(decode_latents(components->vae, latents));
  result.latents = tensor_to_latents(latents);
  result.stages = wanted.stages;
  result.stages.latents = sha256_hex(std::as_bytes(std::span(result.latents.values)));
  result.stages.picture = sha256_hex(std::as_bytes(std::span(result.image.rgb)));
  decode_seconds.push_back(watch.seconds());
  return result;
}

void Pipeline::Impl::run(std::span<const Plan> plans, int batch_size,
                         const RunCallbacks& callbacks) {
  std::vector<Wanted> images = encode(plans);
  const Request& request = plans.front().request;
  const auto size = static_cast<std::size_t>(std::max(1, batch_size));
  for (std::size_t first = 0; first < images.size(); first += size) {
    const auto batch = std::span(images).subspan(first, std::min(size, images.size() - first));
    const at::Tensor latents = denoise(plans, batch, static_cast<int>(first), callbacks);
    if (request.low_memory) components->unet.release();
    release_freed_memory();
    for (std::size_t k = 0; k < batch.size(); ++k) {
      ImageResult result =
          decode(plans, batch[k], latents.narrow(0, static_cast<std::int64_t>(k), 1));
      if (callbacks.on_image) callbacks.on_image(std::move(result));
    }
    if (request.low_memory) components->vae.release();
  }
}

Pipeline::Pipeline(std::shared_ptr<Components> components) : impl_(std::make_unique<Impl>()) {
  impl_->components = std::move(components);
}

Pipeline::~Pipeline() = default;

Plan Pipeline::plan(const Request& request) const { return make_plan(*impl_->components, request); }

double Pipeline::estimate_seconds(const Plan& plan) const {
  return ldm::estimate_seconds(*impl_->components, plan);
}

void Pipeline::run(const Plan& plan, const RunCallbacks& callbacks) {
  run({&plan, 1}, plan.request.batch_size, callbacks);
}

void Pipeline::run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks) {
  if (plans.empty()) return;
  const Plan& plan = plans.front();
  const Execution& execution = impl_->components->execution;
  try {
    impl_->run(plans, batch_size, callbacks);
  } catch (const c10::OutOfMemoryError&) {
    throw_out_of_memory(plan, execution);
  } catch (const std::bad_alloc&) {
    throw_out_of_memory(plan, execution);
  } catch (const c10::Error& error) {
    if (is_host_allocation_failure(error)) throw_out_of_memory(plan, execution);
    throw Error::internal(error.what_without_backtrace());
  }
}

bool Pipeline::can_share_batch(const Plan& a, const Plan& b) {
  const auto stands_alone = [](const Plan& plan) {
    return plan.image_to_image || plan.request.init_latents ||
           plan.condition != ImageCondition::kNone;
  };
  return !stands_alone(a) && !stands_alone(b) && batch_key(a) == batch_key(b);
}

int Pipeline::default_batch_size() const { return ldm::default_batch_size(*impl_->components); }

void Pipeline::keep_text_encoder() { impl_->keep_text_encoder = true; }

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
