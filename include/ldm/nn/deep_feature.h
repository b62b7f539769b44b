#pragma once

#include <ATen/core/Tensor.h>

namespace ldm::nn {

/// What a UNet keeps of one call for those after it, which differ little (DeepCache, Ma et al.
/// 2023, of skip branch 1): what the last layer of its last up block was given from below.
struct DeepFeature {
  at::Tensor hidden;   ///< [B, C, H, W]; undefined before the first call
  bool reuse = false;  ///< whether a call takes it in place of all that is below
};

}  // namespace ldm::nn
