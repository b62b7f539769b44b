#pragma once

#include <span>

#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

class ImageRandom;
template <typename Module>
class Lazy;
namespace models {
struct AutoencoderImpl;
}
namespace nn {
struct DiagonalGaussian;
}

using LazyAutoencoder = Lazy<models::AutoencoderImpl>;

/// Sets an autoencoder's tiling for a picture of that size: auto tiles those beyond 1536² pixels.
void configure_tiling(models::AutoencoderImpl& vae, VaeTiling wish, int width, int height);

/// The same for a request's picture; reads the weights if need be. Seamless pictures are never cut
/// into tiles.
void configure_autoencoder(LazyAutoencoder& vae, const Request& request);

/// The picture, resized (Lanczos) to `width` x `height` where it has another size, with a note in
/// the log.
Image fitted_image(const Image& image, int width, int height);

/// The same as the autoencoder reads it: [1, 3, height, width] fp32 in [-1, 1].
at::Tensor fitted_pixels(const Image& image, int width, int height);

/// Distribution of the unscaled latents of pixels [1, 3, H, W]; reads the weights if need be.
nn::DiagonalGaussian encode_pixels(LazyAutoencoder& vae, const at::Tensor& pixels);

/// One sample of a distribution for each image, scaled by `scaling_factor`, fp32 [B, C, h, w];
/// draws from each image's generator unless it is a point. Throws Error::non_finite.
at::Tensor sample_posterior(const nn::DiagonalGaussian& posterior, double scaling_factor,
                            std::span<ImageRandom> randoms);

/// One sample an image of the latents of pixels [1, 3, H, W], scaled, fp32 [B, C, h, w]; draws from
/// each image's generator unless the autoencoder gives a point. Throws Error::non_finite.
at::Tensor sample_latents(LazyAutoencoder& vae, const at::Tensor& pixels,
                          std::span<ImageRandom> randoms);

/// latents [1, C, h, w] as they leave the sampler → [1, 3, H, W] fp32; a half-precision overflow is
/// computed again in fp32. Throws Error::non_finite.
at::Tensor decode_latents(LazyAutoencoder& vae, const at::Tensor& latents);

/// The same as it comes, without waiting for a GPU: an overflow shows as NaN or Inf.
at::Tensor decode_unchecked(LazyAutoencoder& vae, const at::Tensor& latents);

}  // namespace ldm
