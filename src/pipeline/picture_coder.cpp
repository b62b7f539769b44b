#include "ldm/pipeline/picture_coder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/random.h"
#include "ldm/core/text.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/lazy_module.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/image_tensor.h"

namespace ldm {

struct PictureCoder::Impl {
  Impl(const ComponentFiles& component, const ExecutionRequest& request)
      : files(component),
        vae(make_autoencoder(files), files, resolve_execution(request, stored_parameters(files)),
            LoadContext{}) {
    const std::string problems = vae.binding().problems(files.name);
    if (!problems.empty()) {
      throw Error::model(cat(files.config_source, ": weights do not fit the config: ", problems));
    }
  }

  ComponentFiles files;
  LazyAutoencoder vae;
};

PictureCoder::PictureCoder(const ComponentFiles& autoencoder, const ExecutionRequest& request)
    : impl_(std::make_unique<Impl>(autoencoder, request)) {}

PictureCoder::~PictureCoder() = default;

LatentsData PictureCoder::encode(const Image& image, std::optional<std::uint64_t> seed,
                                 VaeTiling tiling) {
  LazyAutoencoder& vae = impl_->vae;
  const models::AutoencoderShape shape = vae.bare().shape();
  const auto unit = static_cast<int>(shape.downsampling);
  const int width = image.width - image.width % unit;
  const int height = image.height - image.height % unit;
  if (width == 0 || height == 0) {
    throw Error::input(cat("the picture of ", image.width, "x", image.height,
                           " is smaller than one latent of ", unit, "x", unit, " pixels"));
  }
  configure_tiling(vae.get(), tiling, width, height);
  const at::Tensor pixels = fitted_pixels(image, width, height);
  if (seed) {
    std::vector<ImageRandom> randoms = {ImageRandom(*seed)};
    return tensor_to_latents(sample_latents(vae, pixels, randoms));
  }
  const c10::InferenceMode inference;
  const at::Tensor mean = encode_pixels(vae, pixels).mode().to(at::kFloat);
  return tensor_to_latents(mean * shape.scaling_factor);
}

Image PictureCoder::decode(const LatentsData& latents, int index, VaeTiling tiling) {
  LazyAutoencoder& vae = impl_->vae;
  const models::AutoencoderShape shape = vae.bare().shape();
  if (latents.shape.size() != 4 || latents.shape[1] != shape.latent_channels) {
    throw Error::input(cat("the autoencoder decodes latents [N, ", shape.latent_channels,
                           ", h, w], the file holds another shape"));
  }
  const auto width = static_cast<int>(latents.shape[3] * shape.downsampling);
  const auto height = static_cast<int>(latents.shape[2] * shape.downsampling);
  configure_tiling(vae.get(), tiling, width, height);
  return tensor_to_image(decode_latents(vae, latents_to_tensor(latents, index, 1)));
}

}  // namespace ldm
