#pragma once

#include <filesystem>
#include <string>

#include "ldm/io/original_layout.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

/// What a single file's UNet predicts, and who says so.
struct PredictionType {
  std::string type;        ///< "epsilon", "v_prediction" or "sample"; empty: nothing says
  std::string decided_by;  ///< in words
};

/// What is stated, in this order: `asked_for` (the user), NAME.yaml, NAME.json or
/// scheduler_config.json beside the file (only `parameterization` and `prediction_type` are looked
/// for), the file's metadata (`modelspec.prediction_type`). Empty when nothing says.
PredictionType stated_prediction_type(const std::filesystem::path& file,
                                      const std::string& asked_for, const TensorSource& source);

/// What Stable Diffusion 2 weights themselves suggest: step 875000 is the published epsilon model's
/// (diffusers' converter); else v-prediction where the spread (std) of the last transformer's
/// norm1.bias is above 0.09 (ComfyUI's rule). `unet` has original names.
PredictionType guessed_prediction_type(const TensorSource& source, const LayoutKeys& unet);

}  // namespace ldm
