#include "ldm/pipeline/pipeline.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/stopwatch.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/cost.h"
#include "ldm/pipeline/decoding.h"
#include "ldm/pipeline/denoising.h"
#include "ldm/pipeline/out_of_memory.h"
#include "ldm/pipeline/plan.h"
#include "ldm/pipeline/text_cache.h"
#include "ldm/pipeline/text_embedding.h"

namespace ldm {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
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

}  // namespace

struct Pipeline::Impl {
  explicit Impl(std::shared_ptr<Components> parts)
      : components(std::move(parts)), denoising(*components), decoding(*components) {}

  std::shared_ptr<Components> components;
  Denoising denoising;
  Decoding decoding;
  TextCache texts;
  bool more_runs = false;
  bool late_pictures = false;
  MemoryLimits limits;
  std::vector<double> text_seconds;

  std::vector<WantedImage> encode(std::span<const Plan> plans);
  ImageResult decode_making_room(const DecodedImage& image, const at::Tensor& latents,
                                 const RunCallbacks& callbacks);
  bool launch_decoding(const DecodedImage& image, const at::Tensor& latents,
                       const RunCallbacks& callbacks);
  void decode(const DecodedImage& image, const at::Tensor& latents, const RunCallbacks& callbacks);
  void make(std::span<const Plan> plans, std::span<WantedImage> images, std::size_t& done,
            int batch_size, const RunCallbacks& callbacks);
  void run(std::span<const Plan> plans, int batch_size, const RunCallbacks& callbacks);
  bool lean(const Request& request) const { return request.low_memory || limits.lean(); }
  void let_all_go();
  Error does_not_fit(Plan plan) const;
};

/// The text of every image, each prompt encoded once.
std::vector<WantedImage> Pipeline::Impl::encode(std::span<const Plan> plans) {
  double seconds = 0;
  std::vector<WantedImage> images;
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

/// The latents are there: when memory runs out, only the model's other parts can make room for the
/// autoencoder.
ImageResult Pipeline::Impl::decode_making_room(const DecodedImage& image, const at::Tensor& latents,
                                               const RunCallbacks& callbacks) {
  for (bool again = false;; again = true) {
    try {
      if (callbacks.on_stage) callbacks.on_stage(RunStage::kDecode);
      return decoding.decode(image, latents);
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      if (again || !limits.make_lean()) throw does_not_fit(image.plan);
    }
    warn_of_shrinking(limits, image.plan, 1);
    let_all_go();
  }
}

/// Whether a GPU decodes now, beside what comes next.
bool Pipeline::Impl::launch_decoding(const DecodedImage& image, const at::Tensor& latents,
                                     const RunCallbacks& callbacks) {
  if (!components->execution.device.is_cuda()) return false;
  try {
    if (callbacks.on_stage) callbacks.on_stage(RunStage::kDecode);
    decoding.launch(image, latents, callbacks);
    return true;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    return false;
  }
}

void Pipeline::Impl::decode(const DecodedImage& image, const at::Tensor& latents,
                            const RunCallbacks& callbacks) {
  if (launch_decoding(image, latents, callbacks)) return;
  decoding.hand_out_all();
  ImageResult result = decode_making_room(image, latents, callbacks);
  if (callbacks.on_image) callbacks.on_image(std::move(result));
}

/// Computes images from number `done` on, counting each that was handed out.
void Pipeline::Impl::make(std::span<const Plan> plans, std::span<WantedImage> images,
                          std::size_t& done, int batch_size, const RunCallbacks& callbacks) {
  const Plan& plan = plans.front();
  if (lean(plan.request)) decoding.hand_out_all();
  RunCallbacks handing_out = callbacks;
  handing_out.on_step = [&](const StepInfo& info) {
    decoding.hand_out_ready();
    return !callbacks.on_step || callbacks.on_step(info);
  };
  while (done < images.size()) {
    const auto most = static_cast<std::size_t>(limits.images(plan, batch_size));
    const auto batch = images.subspan(done, std::min(most, images.size() - done));
    const at::Tensor latents =
        denoising.run(plans, batch, static_cast<int>(done), lean(plan.request), handing_out);
    const bool last = !more_runs && done + batch.size() == images.size();
    if (last || lean(plan.request)) {
      denoising.forget();
      components->unet.release();
      components->release_controlnets();
    }
    release_freed_memory();
    decoding.hand_out_all();
    for (std::size_t k = 0; k < batch.size(); ++k) {
      const Plan& own = plans[static_cast<std::size_t>(batch[k].plan)];
      decode({own, batch[k], seed_of(plans, batch[k])},
             latents.narrow(0, static_cast<std::int64_t>(k), 1), callbacks);
      ++done;
    }
    if (!lean(plan.request)) continue;
    decoding.hand_out_all();
    components->vae.release();
  }
  if (!late_pictures) decoding.hand_out_all();
}

/// Frees the weights, also of a part that was being packed when memory ran out, and the caches.
void Pipeline::Impl::let_all_go() {
  denoising.forget();
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
  std::vector<WantedImage> images;
  std::size_t done = 0;
  for (;;) {
    try {
      if (components->merge(plan.request.loras)) texts = TextCache();
      if (callbacks.on_stage && images.empty()) callbacks.on_stage(RunStage::kText);
      if (images.empty()) images = encode(plans);
      return make(plans, images, done, batch_size, callbacks);
    } catch (const std::exception& error) {
      decoding.hand_out_all();
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

void Pipeline::allow_late_pictures() { impl_->late_pictures = true; }

int Pipeline::late_pictures() const { return static_cast<int>(impl_->decoding.launched()); }

void Pipeline::finish() {
  try {
    impl_->decoding.hand_out_all();
  } catch (const c10::Error& error) {
    throw Error::internal(error.what_without_backtrace());
  }
}

StageTimings Pipeline::timings() const {
  StageTimings timings;
  for (const double seconds : impl_->text_seconds) timings.text_encoder_s += seconds;
  std::vector<double> steady = impl_->denoising.step_seconds();
  if (steady.size() > 1) steady.erase(steady.begin());
  timings.unet_step_s = median(std::move(steady));
  timings.decode_s = median(impl_->decoding.seconds());
  return timings;
}

}  // namespace ldm
