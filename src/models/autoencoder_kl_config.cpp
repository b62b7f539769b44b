#include "ldm/models/autoencoder_kl_config.h"

#include <cmath>

#include "ldm/models/config_checks.h"
#include "ldm/models/vae_coder.h"

namespace ldm::models {

std::int64_t AutoencoderKLConfig::downsampling() const {
  return std::int64_t{1} << (block_out_channels.size() - 1);
}

void AutoencoderKLConfig::validate() const {
  constexpr ConfigChecks check{"AutoencoderKL"};
  validate_coder(coder_fields(check.config, *this));
  if (shift_factor && !std::isfinite(*shift_factor)) check.refuse("shift_factor", "is not finite");
  if (latents_mean || latents_std) {
    check.refuse(latents_mean ? "latents_mean" : "latents_std",
                 "is set; models with per-channel latent statistics are not supported");
  }
}

}  // namespace ldm::models
