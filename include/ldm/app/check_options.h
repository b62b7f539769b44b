#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"

namespace ldm::app {

/// Largest picture that may be asked for, in pixels.
inline constexpr std::int64_t kMaxPixels = std::int64_t{64} << 20;

/// Everything that is wrong with the options before a model is looked at: ranges, sizes, options
/// that need or exclude each other.
std::vector<Problem> check_options(const Options& options);

/// What is wrong with a size in pixels, as far as it is known: sides are multiples of 8, at most
/// kMaxPixels in all.
std::vector<Problem> check_size(const std::optional<std::int64_t>& width,
                                const std::optional<std::int64_t>& height);

/// Whether the run begins with a picture, or with latents that are drawn over to some strength.
bool is_image_to_image(const Options& options);

}  // namespace ldm::app
