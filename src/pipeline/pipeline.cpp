#include "ldm/pipeline/pipeline.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
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
#include "ldm/core/log.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/guidance.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/plan.h"
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

  at::Tensor encode_prompts(const Plan& plan);
  at::Tensor denoise(const Plan& plan, const at::Tensor& context, int first, int count,
                     const RunCallbacks& callbacks);
  at::Tensor predict(const Plan& plan, const at::Tensor& model_input, double timestep,
                     const at::Tensor& context);
  at::Tensor decode(const Plan& plan, const at::Tensor& latents);
  void run(const Plan& plan, const RunCallbacks& callbacks);
};

/// [1 or 2, 77, D]: the unconditional embedding first where guidance needs it.
at::Tensor Pipeline::Impl::encode_prompts(const Plan& plan) {
  models::CLIPTextModel& model = components->text_encoder.get();
  const Stopwatch watch;
  const c10::InferenceMode inference;
  const auto encode = [&](const PromptTokens& prompt, int clip_skip) {
    const at::Tensor ids = at::tensor(prompt.ids).unsqueeze(0).to(components->execution.device);
    return model->forward(ids, clip_skip);
  };
  // As the public pipelines do, clip_skip leaves the negative prompt alone.
  at::Tensor hidden = encode(plan.prompt, plan.request.clip_skip);
  if (plan.guided) hidden = at::cat({encode(plan.negative_prompt, 0), hidden});
  hidden = hidden.to(components->execution.dtype);
  check_finite(hidden, "the text embedding", kHalfHint);
  text_seconds.push_back(watch.seconds());
  return hidden;
}

/// The guided noise prediction in fp32. model_input [B, C, h, w].
at::Tensor Pipeline::Impl::predict(const Plan& plan, const at::Tensor& model_input, double timestep,
                                   const at::Tensor& context) {
  models::UNet2DConditionModel& unet = components->unet.get();
  const Execution& execution = components->execution;
  const std::int64_t batch = model_input.size(0);
  const at::Tensor sample = (plan.guided ? at::cat({model_input, model_input}) : model_input)
                                .to(execution.dtype)
                                .contiguous(execution.memory_format);
  const at::Tensor t =
      at::full({}, timestep, at::TensorOptions().dtype(at::kFloat).device(execution.device));
  const at::Tensor prediction = unet->forward(sample, t, context).to(at::kFloat);
  if (!plan.guided) return prediction;
  const at::Tensor uncond = prediction.narrow(0, 0, batch);
  const at::Tensor text = prediction.narrow(0, batch, batch);
  const at::Tensor guided = guide(uncond, text, plan.request.guidance_scale);
  if (plan.request.guidance_rescale == 0) return guided;
  return rescale_guidance(guided, text, plan.request.guidance_rescale);
}

/// Final latents [count, C, h, w] of images `first` … `first + count`.
at::Tensor Pipeline::Impl::denoise(const Plan& plan, const at::Tensor& context, int first,
                                   int count, const RunCallbacks& callbacks) {
  const PlannedScheduler planned = make_planned_scheduler(*components, plan.request);
  Scheduler& scheduler = *planned.scheduler;
  std::vector<ImageRandom> randoms;
  for (int k = 0; k < count; ++k) {
    randoms.emplace_back(plan.request.seed + static_cast<std::uint64_t>(first + k));
  }
  at::Tensor latents = start_latents(*components, plan, planned, first, randoms);
  components->unet.load();
  // The first step packs weights; from then on temporaries are all there is.
  set_allocator_mode(AllocatorMode::kWeights);
  const c10::InferenceMode inference;
  const at::Tensor expanded = context.repeat_interleave(count, 0);
  if (callbacks.on_denoise_start) callbacks.on_denoise_start();
  scheduler.set_begin_index(planned.begin);
  const auto total = static_cast<int>(scheduler.timesteps().size());
  for (int i = planned.begin; i < total; ++i) {
    const Stopwatch watch;
    const double timestep = scheduler.timesteps()[static_cast<std::size_t>(i)];
    const at::Tensor prediction =
        predict(plan, scheduler.scale_model_input(latents, i), timestep, expanded);
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

/// latents [1, C, h, w] → [1, 3, H, W]; a half-precision overflow is computed again in fp32.
at::Tensor Pipeline::Impl::decode(const Plan& plan, const at::Tensor& latents) {
  const auto attempt = [&] {
    models::AutoencoderKL& vae = components->vae.get();
    const Execution& execution = components->vae.execution();
    configure_tiling(*vae, plan.request);
    const c10::InferenceMode inference;
    const at::Tensor z = (latents / vae->config.scaling_factor)
                             .to(execution.dtype)
                             .contiguous(execution.memory_format);
    return vae->decode(z).to(at::kFloat);
  };
  at::Tensor picture = attempt();
  if (all_finite(picture)) return picture;
  if (components->vae.execution().dtype != at::kFloat) {
    log_warning("vae-fp32",
                cat("the autoencoder overflowed in ", dtype_word(components->vae.execution().dtype),
                    "; decoding again in fp32"));
    components->vae.reload_as(at::kFloat);
    picture = attempt();
  }
  check_finite(picture, "the decoded picture", "the autoencoder's weights may be damaged");
  return picture;
}

void Pipeline::Impl::run(const Plan& plan, const RunCallbacks& callbacks) {
  const at::Tensor context = encode_prompts(plan);
  components->text_encoder.release();
  for (int first = 0; first < plan.request.num_images; first += plan.request.batch_size) {
    const int count = std::min(plan.request.batch_size, plan.request.num_images - first);
    const at::Tensor latents = denoise(plan, context, first, count, callbacks);
    if (plan.request.low_memory) components->unet.release();
    release_freed_memory();
    for (int k = 0; k < count; ++k) {
      const Stopwatch watch;
      const at::Tensor one = latents.narrow(0, k, 1);
      ImageResult result;
      result.index = first + k;
      result.seed = plan.request.seed + static_cast<std::uint64_t>(result.index);
      result.image = tensor_to_image(decode(plan, one));
      result.latents = tensor_to_latents(one);
      decode_seconds.push_back(watch.seconds());
      if (callbacks.on_image) callbacks.on_image(std::move(result));
    }
    if (plan.request.low_memory) components->vae.release();
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
