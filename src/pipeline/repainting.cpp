#include "ldm/pipeline/repainting.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <memory>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {

void prepare_repainting(Plan& plan) {
  Request& request = plan.request;
  if (!request.mask) return;
  const Image& mask = *request.mask;
  const Image& start = *request.init_image;
  if (mask.width != start.width || mask.height != start.height) {
    throw Error::input(cat("the mask has ", mask.width, "x", mask.height,
                           " pixels, the picture that it masks ", start.width, "x", start.height),
                       "make the mask as large as the init image");
  }
  if (start.width != request.width || start.height != request.height) {
    request.init_image =
        std::make_shared<Image>(fitted_image(start, request.width, request.height));
    request.mask = std::make_shared<Image>(resize_lanczos(mask, request.width, request.height));
  }
  GreyImage grey = to_grey(*request.mask);
  if (request.invert_mask) {
    for (std::uint8_t& value : grey.grey) value = static_cast<std::uint8_t>(255 - value);
  }
  plan.mask = std::make_shared<GreyImage>(gaussian_blur(grey, request.mask_blur));
}

at::Tensor binary_mask(const GreyImage& mask) {
  // from_blob only reads here; its signature has no const form.
  auto* values = const_cast<std::uint8_t*>(mask.grey.data());
  return (at::from_blob(values, {1, 1, mask.height, mask.width}, at::kByte) >= 128).to(at::kFloat);
}

at::Tensor latent_mask(const Plan& plan) {
  return at::upsample_nearest2d(binary_mask(*plan.mask),
                                {plan.latent_shape[1], plan.latent_shape[2]});
}

Image with_kept_pixels(Image picture, const Plan& plan) {
  return plan.mask ? composite(picture, *plan.request.init_image, *plan.mask) : std::move(picture);
}

at::Tensor blend_kept(const at::Tensor& latents, const at::Tensor& clean, const at::Tensor& noise,
                      const at::Tensor& mask, const Scheduler& scheduler, int next) {
  const bool last = next >= static_cast<int>(scheduler.timesteps().size());
  const at::Tensor kept = last ? clean : scheduler.add_noise(clean, noise, next);
  return (1 - mask) * kept + mask * latents;
}

}  // namespace ldm
