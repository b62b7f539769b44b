#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "ldm/loading/model_files.h"

namespace ldm {

struct Components;

/// An affine map from an autoencoder's latents to colours.
struct PreviewMap {
  std::vector<float> weight;  ///< [3, C] row by row; latents as they leave the sampler
  std::vector<float> bias;    ///< [3], of pixels in [-1, 1]
  double error = 0;           ///< root mean square of what it misses, in steps of 8-bit colour
};

/// The map that scripts/fit_preview.py wrote as `latent_rgb.json` beside an autoencoder's weights;
/// none where there is no such file, or where it was fitted to other weights (told in the log).
/// Error::model for a broken file.
std::optional<PreviewMap> read_preview_map(const ComponentFiles& autoencoder,
                                           std::int64_t latent_channels);

/// Makes a (small) autoencoder decode the previews. Throws Error::model for what
/// `open_components` refuses, and for another number of latent channels or another size.
void use_preview_autoencoder(Components& components, ComponentFiles autoencoder);

}  // namespace ldm
