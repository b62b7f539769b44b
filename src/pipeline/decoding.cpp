#include "ldm/pipeline/decoding.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/Event.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>
#include <span>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/stopwatch.h"
#include "ldm/io/hash.h"
#include "ldm/loading/components.h"
#include "ldm/nn/circular.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/heatmap.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/repainting.h"

namespace ldm {
namespace {

ImageResult result_of(const DecodedImage& of, const Image& picture, LatentsData latents) {
  ImageResult result;
  result.plan = of.wanted.plan;
  result.index = of.wanted.index;
  result.seed = of.seed;
  result.image = with_kept_pixels(picture, of.plan);
  if (of.wanted.heat) {
    const float* heat = of.wanted.heat->const_data_ptr<float>();
    result.heat.assign(heat, heat + of.wanted.heat->numel());
    result.heatmap = draw_heatmap(result.image, *of.wanted.heat);
  }
  result.latents = std::move(latents);
  result.stages = of.wanted.stages;
  result.stages.latents = sha256_hex(std::as_bytes(std::span(result.latents.values)));
  result.stages.picture = sha256_hex(std::as_bytes(std::span(result.image.rgb)));
  return result;
}

}  // namespace

/// A stream of a GPU beside the one that everything else is on.
class Decoding::SideStream {
 public:
  explicit SideStream(c10::Device device)
      : device_(device), guard_(device.type()), stream_(guard_.getStreamFromGlobalPool(device)) {}

  /// What `work` launches goes there, after what is on the current stream now.
  template <typename Work>
  void run(const Work& work) const {
    c10::Event before(device_.type());
    before.record(guard_.getStream(device_));
    before.block(stream_);
    const c10::StreamGuard there(stream_);
    work();
  }

  /// A moment of what is there so far.
  c10::Event now() const {
    c10::Event event(device_.type(), c10::EventFlag::BACKEND_DEFAULT);
    event.record(stream_);
    return event;
  }

 private:
  c10::Device device_;
  c10::impl::VirtualGuardImpl guard_;
  c10::Stream stream_;
};

/// A picture on its way from the GPU.
struct Decoding::Launched {
  DecodedImage image;
  RunCallbacks callbacks;
  at::Tensor latents;  ///< stay while they are read
  // On the host.
  at::Tensor finite, rgb, plain_latents;
  std::optional<c10::Event> begun, done;  ///< none on a CPU
  double seconds = 0;                     ///< on a CPU

  bool ready() const { return !done || done->query(); }
  void wait() {
    if (!done) return;
    done->synchronize();
    seconds = begun->elapsedTime(*done) / 1000;
  }
};

Decoding::Decoding(Components& components) : components_(components) {
  const c10::Device device = components.execution.device;
  if (!device.is_cpu()) side_ = std::make_unique<SideStream>(device);
}

Decoding::~Decoding() {
  for (Launched& one : launched_) {
    try {
      one.wait();
    } catch (const c10::Error&) {  // NOLINT(bugprone-empty-catch): the device is lost, as it was.
    }
  }
}

/// Seconds of `work` with the autoencoder as an image wants it, its loading aside.
template <typename Work>
double Decoding::timed(const DecodedImage& image, const Work& work) {
  components_.vae.load();
  const Stopwatch watch;
  configure_autoencoder(components_.vae, image.plan.last_pass().request);
  const nn::CircularPadding edges({image.plan.request.tile.x, image.plan.request.tile.y});
  work();
  return watch.seconds();
}

ImageResult Decoding::decode(const DecodedImage& image, const at::Tensor& latents) {
  ImageResult result;
  seconds_.push_back(timed(image, [&] {
    const at::Tensor picture = decode_latents(components_.vae, latents);
    result = result_of(image, tensor_to_image(picture), tensor_to_latents(latents));
  }));
  return result;
}

void Decoding::launch(DecodedImage image, const at::Tensor& latents,
                      const RunCallbacks& callbacks) {
  Launched one{std::move(image), callbacks, latents, {}, {}, {}, {}, {}};
  const auto decode_there = [&] {
    const c10::InferenceMode inference;
    const at::Tensor picture = decode_unchecked(components_.vae, latents);
    one.finite = on_its_way_to_host(at::isfinite(picture).all());
    one.rgb = on_its_way_to_host(picture_bytes(picture));
    one.plain_latents = on_its_way_to_host(latents.to(at::kFloat).contiguous());
  };
  one.seconds = timed(one.image, [&] {
    if (!side_) return decode_there();
    side_->run([&] {
      one.begun = side_->now();
      decode_there();
      one.done = side_->now();
    });
  });
  launched_.push_back(std::move(one));
}

void Decoding::hand_out_ready() {
  while (!launched_.empty() && launched_.front().ready()) hand_out_first();
}

void Decoding::hand_out_all() {
  while (!launched_.empty()) hand_out_first();
}

std::size_t Decoding::launched() const { return launched_.size(); }

void Decoding::hand_out_first() {
  Launched first = std::move(launched_.front());
  launched_.pop_front();
  first.wait();
  ImageResult result;
  try {
    if (first.finite.item<bool>()) {
      result =
          result_of(first.image, image_of_bytes(first.rgb), tensor_to_latents(first.plain_latents));
      seconds_.push_back(first.seconds);
    } else {
      // It may take other weights, which those after it still read.
      for (Launched& other : launched_) other.wait();
      result = decode(first.image, first.latents);
    }
  } catch (const Error& error) {
    if (!first.callbacks.on_failed) throw;
    return first.callbacks.on_failed(first.image.wanted.plan, error);
  }
  if (first.callbacks.on_image) first.callbacks.on_image(std::move(result));
}

}  // namespace ldm
