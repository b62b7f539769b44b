#include "ldm/pipeline/previewer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <vector>

#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/loading/preview_map.h"
#include "ldm/pipeline/autoencoding.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/latent_rgb.h"

namespace ldm {
namespace {

/// Encodes patterns of few latents: a small share of what one picture costs.
PreviewMap fit_to_autoencoder(LazyAutoencoder& vae) {
  constexpr std::int64_t kSide = 16;  // latents
  const models::AutoencoderShape shape = vae.bare().shape();
  vae.load();
  configure_tiling(vae.get(), VaeTiling::kOff, 0, 0);
  const at::Tensor pixels = fitting_patterns(kSide * shape.downsampling);
  const at::Tensor latents =
      encode_pixels(vae, pixels).mode().to(at::kFloat) * shape.scaling_factor;
  PreviewMap map = fit_latent_rgb(pixels, latents);
  log_info(
      "preview-fitted",
      cat("the previews' colours are fitted to this autoencoder; on test patterns they miss by ",
          static_cast<int>(map.error + 0.5), " of 255"));
  return map;
}

PreviewMap choose_map(Components& c) {
  const std::int64_t channels = c.vae.bare().shape().latent_channels;
  const std::optional<PreviewMap> known = read_preview_map(c.files.component("vae"), channels);
  return known ? *known : fit_to_autoencoder(c.vae);
}

at::Tensor decode_small(LazyAutoencoder& vae, const at::Tensor& latents) {
  const Execution& execution = vae.execution();
  const at::Tensor z = (latents.to(execution.device) / vae.bare().shape().scaling_factor)
                           .to(execution.dtype)
                           .contiguous(execution.memory_format);
  return at::nan_to_num(vae.get().decode(z).to(at::kCPU, at::kFloat));
}

}  // namespace

struct Previewer::Impl {
  LazyAutoencoder* small = nullptr;  ///< null: by the map
  PreviewMap map;
};

Previewer::Previewer(Components& c) : impl_(std::make_unique<Impl>()) {
  if (c.preview_vae) {
    impl_->small = &*c.preview_vae;
  } else {
    impl_->map = choose_map(c);
  }
}

Previewer::~Previewer() = default;

Image Previewer::picture(const at::Tensor& x0, int width, int height) const {
  const at::Tensor latents = at::nan_to_num(x0);
  std::vector<at::Tensor> pictures;
  for (std::int64_t b = 0; b < latents.size(0); ++b) {
    const at::Tensor one = latents.narrow(0, b, 1);
    const at::Tensor pixels = impl_->small != nullptr ? decode_small(*impl_->small, one)
                                                      : apply_latent_rgb(impl_->map, one);
    pictures.push_back(at::upsample_bilinear2d(pixels, {height, width}, false));
  }
  return tensor_to_image(at::cat(pictures, 3));
}

}  // namespace ldm
