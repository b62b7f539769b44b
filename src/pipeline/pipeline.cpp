#include "ldm/pipeline/pipeline.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/conditioning.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/plan.h"
#include "ldm/pipeline/planned_scheduler.h"
#include "ldm/pipeline/start_latents.h"
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

}  // namespace

struct Pipeline::Impl {
  std::shared_ptr<Components> components;
  std::vector<double> text_seconds;
  std::vector<double> step_seconds;
  std::vector<double> decode_seconds;

  at::Tensor denoise(const Plan& plan, const at::Tensor& context, int first, int count,
                     const RunCallbacks& callbacks);
  void run(const Plan& plan, const RunCallbacks& callbacks);
};

/// Final latents [count, C, h, w] of images `first` … `first + count`.
at::Tensor Pipeline::Impl::denoise(const Plan& plan, const at::Tensor& context, int first,
                                   int count, const RunCallbacks& callbacks) {
  const PlannedScheduler planned = make_planned_scheduler(*components, plan);
  Scheduler& scheduler = *planned.scheduler;
  std::vector<ImageRandom> randoms;
  for (int k = 0; k < count; ++k) {
    randoms.emplace_back(plan.request.seed + static_cast<std::uint64_t>(first + k));
  }
  const auto condition = [&] { return make_conditioning(*components, plan, context, randoms); };
  std::shared_ptr<const Conditioning> conditioning;
  if (draws_before_latents(plan.condition)) conditioning = condition();
  at::Tensor latents = start_latents(*components, plan, planned, first, randoms);
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
    const StepInfo info{i - planned.begin, total - planned.begin, first, count,
                        timestep,          step_seconds.back()};
    if (callbacks.on_step && !callbacks.on_step(info)) {
      throw Error::stopped(ErrorCode::kInterrupted, "interrupted");
    }
  }
  return latents;
}

void Pipeline::Impl::run(const Plan& plan, const RunCallbacks& callbacks) {
  const Request& request = plan.request;
  if (components->text_encoder) components->text_encoder->load();
  const Stopwatch text_watch;
  const at::Tensor context = encode_prompts(*components, plan);
  text_seconds.push_back(text_watch.seconds());
  if (components->text_encoder) components->text_encoder->release();
  for (int first = 0; first < request.num_images; first += request.batch_size) {
    const int count = std::min(request.batch_size, request.num_images - first);
    const at::Tensor latents = denoise(plan, context, first, count, callbacks);
    if (request.low_memory) components->unet.release();
    release_freed_memory();
    for (int k = 0; k < count; ++k) {
      const Stopwatch watch;
      const at::Tensor one = latents.narrow(0, k, 1);
      ImageResult result;
      result.index = first + k;
      result.seed = request.seed + static_cast<std::uint64_t>(result.index);
      configure_tiling(components->vae.get(), request.vae_tiling, request.width, request.height);
      result.image = tensor_to_image(decode_latents(components->vae, one));
      result.latents = tensor_to_latents(one);
      decode_seconds.push_back(watch.seconds());
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
  const Execution& execution = impl_->components->execution;
  try {
    impl_->run(plan, callbacks);
  } catch (const c10::OutOfMemoryError&) {
    throw_out_of_memory(plan, execution);
  } catch (const std::bad_alloc&) {
    throw_out_of_memory(plan, execution);
  } catch (const c10::Error& error) {
    if (is_host_allocation_failure(error)) throw_out_of_memory(plan, execution);
    throw Error::internal(error.what_without_backtrace());
  }
}

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
