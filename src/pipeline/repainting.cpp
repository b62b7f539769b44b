#include "ldm/pipeline/repainting.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

void check_mask_size(const Request& request) {
  const Image& mask = *request.mask;
  const Image& start = *request.init_image;
  if (mask.width != start.width || mask.height != start.height) {
    throw Error::input(cat("the mask has ", mask.width, "x", mask.height,
                           " pixels, the picture that it masks ", start.width, "x", start.height),
                       "make the mask as large as the init image");
  }
}

/// Adds to one of two margins what makes a side whole; 0 where nothing is missing.
int round_up(int side, int& before, int& after, int unit) {
  const int missing = (unit - (side + before + after) % unit) % unit;
  (before > 0 && after == 0 ? before : after) += missing;
  return missing;
}

}  // namespace

void grow_canvas(Request& request, int unit) {
  if (!request.outpaint) return;
  const Image& start = *request.init_image;
  Margins margins = *request.outpaint;
  const int more_x = round_up(start.width, margins.left, margins.right, unit);
  const int more_y = round_up(start.height, margins.top, margins.bottom, unit);
  const std::uint8_t painted = request.invert_mask ? 0 : 255;
  if (request.mask) check_mask_size(request);
  Image mask = request.mask ? *request.mask : start;
  if (!request.mask) {
    std::fill(mask.rgb.begin(), mask.rgb.end(), static_cast<std::uint8_t>(255 - painted));
  }
  request.mask = std::make_shared<Image>(grown_by_value(mask, margins, painted));
  request.init_image = std::make_shared<Image>(grown_by_edge(start, margins));
  const Image& canvas = *request.init_image;
  if (more_x + more_y > 0) {
    log_info("canvas-rounded",
             cat("the canvas grows by ", more_x, " pixels more in width and ", more_y,
                 " in height, to ", canvas.width, "x", canvas.height, ", multiples of ", unit));
  }
  for (const auto& [flag, asked, given] :
       {std::tuple("--width ", request.width, canvas.width),
        std::tuple("--height ", request.height, canvas.height)}) {
    if (asked == 0 || asked == given) continue;
    throw Error::usage(cat("--outpaint gives ", canvas.width, "x", canvas.height, ", ", flag, asked,
                           " asks for another size"),
                       "leave out --width and --height");
  }
}

void prepare_repainting(Plan& plan) {
  Request& request = plan.request;
  if (!request.mask) return;
  check_mask_size(request);
  const Image& mask = *request.mask;
  const Image& start = *request.init_image;
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
