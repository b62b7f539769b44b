#include "ldm/pipeline/autoencoding.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/loading/lazy_module.h"
#include "ldm/models/autoencoder.h"
#include "ldm/pipeline/image_tensor.h"

namespace ldm {
namespace {

constexpr std::int64_t kAutoTilingPixels = 1536 * 1536;

}  // namespace

void configure_tiling(models::AutoencoderImpl& vae, VaeTiling wish, int width, int height) {
  const bool large = std::int64_t{width} * height > kAutoTilingPixels;
  vae.use_tiling = wish == VaeTiling::kOn || (wish == VaeTiling::kAuto && large);
}

void configure_autoencoder(LazyAutoencoder& vae, const Request& request) {
  models::AutoencoderImpl& model = vae.get();
  const VaeTiling wish = request.tile.any() ? VaeTiling::kOff : request.vae_tiling;
  configure_tiling(model, wish, request.width, request.height);
}

Image fitted_image(const Image& image, int width, int height) {
  if (image.width == width && image.height == height) return image;
  log_info("init-image-resized", cat("the picture is resized from ", image.width, "x", image.height,
                                     " to ", width, "x", height));
  return resize_lanczos(image, width, height);
}

at::Tensor fitted_pixels(const Image& image, int width, int height) {
  return image_to_tensor(fitted_image(image, width, height));
}

nn::DiagonalGaussian encode_pixels(LazyAutoencoder& vae, const at::Tensor& pixels) {
  models::AutoencoderImpl& model = vae.get();
  const Execution& execution = vae.execution();
  const c10::InferenceMode inference;
  return model.encode(
      pixels.to(execution.device, execution.dtype).contiguous(execution.memory_format));
}

at::Tensor sample_posterior(const nn::DiagonalGaussian& posterior, double scaling_factor,
                            std::span<ImageRandom> randoms) {
  const c10::InferenceMode inference;
  std::vector<at::Tensor> samples;
  for (ImageRandom& random : randoms) {
    const at::Tensor noise =
        posterior.is_point() ? posterior.mean : random.randn(posterior.mean.sizes());
    samples.push_back(posterior.sample(noise).to(at::kFloat));
  }
  const at::Tensor latents = at::cat(samples) * scaling_factor;
  if (all_finite(latents)) return latents;
  throw Error::non_finite("the encoded picture became NaN or Inf", "try --dtype fp32");
}

at::Tensor sample_latents(LazyAutoencoder& vae, const at::Tensor& pixels,
                          std::span<ImageRandom> randoms) {
  return sample_posterior(encode_pixels(vae, pixels), vae.bare().shape().scaling_factor, randoms);
}

at::Tensor decode_unchecked(LazyAutoencoder& vae, const at::Tensor& latents) {
  models::AutoencoderImpl& model = vae.get();
  const Execution& execution = vae.execution();
  const c10::InferenceMode inference;
  const at::Tensor z = (latents.to(execution.device) / model.shape().scaling_factor)
                           .to(execution.dtype)
                           .contiguous(execution.memory_format);
  return model.decode(z).to(at::kFloat);
}

at::Tensor decode_latents(LazyAutoencoder& vae, const at::Tensor& latents) {
  at::Tensor picture = decode_unchecked(vae, latents);
  if (!all_finite(picture) && vae.execution().dtype != at::kFloat) {
    log_warning("vae-fp32", cat("the autoencoder overflowed in ", dtype_word(vae.execution().dtype),
                                "; decoding again in fp32"));
    vae.reload_as(at::kFloat);
    picture = decode_unchecked(vae, latents);
  }
  if (all_finite(picture)) return picture;
  throw Error::non_finite("the decoded picture became NaN or Inf",
                          "the autoencoder's weights may be damaged");
}

}  // namespace ldm
